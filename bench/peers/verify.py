"""Answers verified with math-verify, one after the other on one thread."""

import argparse
import json
import logging
from importlib.metadata import version

import common
from math_verify import parse, verify

# Answers verified before the clock starts, on both sides.
WARM_UP = 200


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", required=True, help="JSONL of solution, gold and correct")
    args = parser.parse_args()
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    with open(args.rows, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]

    def right(row):
        return verify(parse(row["gold"]), parse(row["solution"]))

    for row in rows[:WARM_UP]:
        right(row)
    clock = common.Clock()
    clock.begin()
    verdicts = [right(row) for row in rows]
    clock.end()
    line = {
        "peer": "math_verify",
        "seconds": clock.seconds[0],
        "cpu_share": round(clock.cpu_share(1), 3),
        "answers": len(rows),
        "as_flagged": sum(verdict == row["correct"] for verdict, row in zip(verdicts, rows, strict=True)),
        "verdicts": "".join("=" if verdict else "x" for verdict in verdicts),
        "versions": {name: version(name) for name in ("math-verify", "latex2sympy2_extended", "sympy")},
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
