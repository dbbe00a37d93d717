/** Our judge `math` on every answer of a file; prints one line of JSON. Started by ../verifier.ts. */
import { parseArgs } from "node:util";
import { makeJudge } from "../../packages/mahalo/src/judges/registry.ts";
import { cpuSeconds } from "../usage.ts";
import type { Verified } from "./results.ts";
import { type BenchAnswer, readAnswers } from "./tasks.ts";

/** Answers verified before the clock starts, on both sides. */
const warmUp = 200;

const main = async (): Promise<Verified> => {
  const { values } = parseArgs({ options: { rows: { type: "string" } } });
  const rows = readAnswers(values.rows ?? "");
  const judge = makeJudge({ kind: "math" }, "bench");
  const items = (answers: readonly BenchAnswer[]) =>
    answers.map(({ solution, gold }) => ({ prompt: [], response: solution, reference: gold }));
  await judge.score(items(rows.slice(0, warmUp)));
  const all = items(rows);
  const [began, cpuBegan] = [performance.now(), cpuSeconds()];
  const scored = await judge.score(all);
  const seconds = (performance.now() - began) / 1000;
  const cpu_share = (cpuSeconds() - cpuBegan) / seconds;
  const verdicts = scored.map(({ score }) => (score === 1 ? "=" : "x"));
  return {
    seconds,
    cpu_share,
    answers: rows.length,
    as_flagged: rows.filter(({ correct }, index) => (verdicts[index] === "=") === correct).length,
    verdicts: verdicts.join(""),
  };
};

process.stdout.write(`${JSON.stringify(await main())}\n`);
