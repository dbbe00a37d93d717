"""Records math-verify's verdicts on pairs of answers, on the gold answers of data sets and on models' solutions.

    python record_math.py --hub HUB

Reads data/math/pairs.json and writes data/math/verdicts.json. A verdict is `=` (the same) or `x` (not the same).
"""

import argparse
import hashlib
import json
import logging
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import math_verify
import pyarrow.parquet
from golden_files import DATA, write_json

MATH = DATA / "math"
SOLVERS = ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"]

# Of the clock; long enough that no verdict depends on what else the machine does.
TIMEOUT_SECONDS = 120


def parse(text):
    return math_verify.parse(text, parsing_timeout=TIMEOUT_SECONDS)


def verify(gold, answer):
    return math_verify.verify(gold, answer, timeout_seconds=TIMEOUT_SECONDS)


def latex(answer):
    """An answer as math-verify wants LaTeX: in an environment."""
    return parse(f"${answer}$")


def letter(same):
    return "=" if same else "x"


def short(verdicts):
    """Runs of equal verdicts, each as letter and length: `=3x1`."""
    return "".join(f"{verdict}{len(list(run))}" for verdict, run in groupby(verdicts))


def json_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def gold_answers(hub):
    """Name of a data set to the final answers of its rows, in the file's order."""
    golds = {}
    for split in ("train", "test"):
        file = hub / f"openai/gsm8k/main/{split}-00000-of-00001.parquet"
        answers = pyarrow.parquet.read_table(file)["answer"].to_pylist()
        golds[f"gsm8k {split}"] = [answer.split("####")[-1].strip() for answer in answers]
    golds["asdiv"] = [row["answer"] for row in json_lines(hub / "word-problems/asdiv/test.jsonl")]
    for part in ("addsub", "singleeq", "singleop"):
        rows = json_lines(hub / f"word-problems/mawps/{part}.jsonl")
        golds[f"mawps {part}"] = [str(row["target"]) for row in rows]
    return golds


def record_golds(answers):
    """Every answer against itself, and against the answer of the next row (the last row's next is the first)."""
    parsed = [parse(answer) for answer in answers]
    again = [parse(answer) for answer in answers]
    following = again[1:] + again[:1]
    return {
        "rows": len(answers),
        "self": short(letter(verify(a, b)) for a, b in zip(parsed, again, strict=True)),
        "next": short(letter(verify(a, b)) for a, b in zip(parsed, following, strict=True)),
    }


def record_solutions(rows):
    """The solutions of each row against the row's gold answer, in the order of SOLVERS."""
    verdicts = []
    for row in rows:
        gold = parse(row["ground_truth"].rsplit("A:", 1)[-1].strip())
        verdicts += [letter(verify(gold, parse(row[solver]["solution"]))) for solver in SOLVERS]
    return {"rows": len(rows), "solvers": SOLVERS, "verdicts": short(verdicts)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hub", type=Path, required=True, help="folder of data sets by their hub names")
    args = parser.parse_args()
    logging.getLogger("math_verify").setLevel(logging.ERROR)

    text = (MATH / "pairs.json").read_bytes()
    pairs = {}
    for kind, members in json.loads(text).items():
        pairs[kind] = "".join(letter(verify(latex(gold), latex(answer))) for gold, answer, _ in members)
        right = sum(letter(equal) == verdict for (_, _, equal), verdict in zip(members, pairs[kind], strict=True))
        print(f"{kind}: {right} of {len(members)} as intended", flush=True)
    golds = {}
    for name, answers in gold_answers(args.hub).items():
        golds[name] = record_golds(answers)
        print(f"{name}: {len(answers)} rows", flush=True)
    solutions = json_lines(args.hub / "openai/grade-school-math/example_model_solutions.jsonl")
    write_json(
        MATH / "verdicts.json",
        {
            "math_verify": version("math-verify"),
            "pairs_sha256": hashlib.sha256(text).hexdigest(),
            "pairs": pairs,
            "golds": golds,
            "solutions": record_solutions(solutions),
        },
    )


if __name__ == "__main__":
    main()
