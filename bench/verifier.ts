/**
 * Verifier bench: answers of GSM8K verified a second on one core, the judge `math` against Python's math-verify.
 *
 *   npx tsx bench/verifier.ts --rounds 3
 *
 * Each side runs in a process of its own, alternating; JSON lines go to stdout.
 */
import { parseArgs } from "node:util";
import { describeError, MahaloError } from "@mahalo/torch";
import { checkPython, ours, type Program, peer, runForResult } from "./child.ts";
import { print, say } from "./lines.ts";
import { count } from "./options.ts";
import { compareVerified, type Verified, verifiedSchema } from "./verifier/results.ts";
import { writeAnswers } from "./verifier/tasks.ts";

const usage = `Usage: npx tsx bench/verifier.ts [options]
  --answers N   solutions of GSM8K that are verified, at most 3600 (default 3600)
  --peers LIST  math_verify, or none (default: math_verify)
  --rounds N    times that each side runs (default 1)
`;

/** A program of ours that compiles and collects garbage on its one thread. */
const onOneThread = ({ args, ...program }: Program): Program => ({
  ...program,
  args: ["--single-threaded", ...args],
});

const main = async (args: string[]): Promise<void> => {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args,
    options: { answers: text, peers: text, rounds: text, help: { type: "boolean" } },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const peers = values.peers ?? "math_verify";
  if (peers !== "none" && peers !== "math_verify") {
    throw new MahaloError("E_BENCH_OPTION", `--peers: unknown "${peers}". It is math_verify or none`);
  }
  const answers = count("answers", values.answers ?? "3600");
  const rounds = count("rounds", values.rounds ?? "1");
  if (peers !== "none") checkPython("psutil, math_verify, antlr4");
  const rows = await writeAnswers(answers);
  const told = async (name: string, program: Program): Promise<Verified> => {
    const result = await runForResult(program, verifiedSchema);
    const { verdicts, ...rest } = result;
    say(`${name}: ${JSON.stringify({ ...rest, right: verdicts.replaceAll("x", "").length })}`);
    return result;
  };
  const sides = { ours: [] as Verified[], peer: [] as Verified[] };
  for (let round = 0; round < rounds; round += 1) {
    sides.ours.push(await told("ours", onOneThread(ours("verifier/ours.ts", ["--rows", rows]))));
    if (peers !== "none") sides.peer.push(await told(peers, peer("verify.py", ["--rows", rows])));
  }
  if (peers === "none") return;
  const setting = {
    data: `gsm8k, ${answers} solutions`,
    dtype: "none",
    against: peers,
    how: `${rounds} alternating rounds, one thread`,
  };
  print(compareVerified(setting, sides.ours, sides.peer));
};

try {
  await main(process.argv.slice(2));
} catch (error) {
  say(`bench/verifier: ${describeError(error)}`);
  process.exitCode = error instanceof MahaloError ? error.exitStatus : 1;
}
