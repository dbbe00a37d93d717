/** The verifier bench's own arithmetic and rows. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { compareVerified, type Verified } from "../bench/verifier/results.ts";
import { readAnswers, writeAnswers } from "../bench/verifier/tasks.ts";

const side: Verified = { seconds: 2, cpu_share: 0.9, answers: 4, as_flagged: 4, verdicts: "==x=" };
const setting = { data: "gsm8k", dtype: "none", against: "math_verify", how: "so" };

test("answers a second are those of all rounds, and agreement is counted", () => {
  const slow = { ...side, seconds: 38, as_flagged: 3, verdicts: "==xx" };
  expect(compareVerified(setting, [side, side], [slow, { ...slow, seconds: 42 }])).toMatchObject([
    {
      bench: "verifier",
      ours: 2,
      peer: 0.1,
      ratio: 20,
      unit: "answers/s",
      how: "so; verdicts agree for 3 of 4, as flagged: ours 4, peer 3; cores had: ours 0.90, peer 0.90",
    },
    { ours: 2.222, peer: 0.1111, ratio: 20, unit: "answers/processor-second" },
  ]);
});

test("sides that verified other answers are not compared", () => {
  const other = { ...side, verdicts: "==x" };
  expect(() => compareVerified(setting, [side], [other])).toThrow(
    expect.objectContaining({ code: "E_BENCH_ROWS" }),
  );
});

const mirror = process.env.MAHALO_MIRROR ?? fileURLToPath(new URL("../../shared/hub", import.meta.url));
if (!existsSync(mirror)) console.warn(`${mirror} is not there: the bench's answers are not built`);

test.skipIf(!existsSync(mirror) && process.env.CI !== "true")("answers survive their file", async () => {
  process.env.MAHALO_MIRROR = mirror;
  const answers = readAnswers(await writeAnswers(8));
  expect(answers.map(({ gold }) => gold)).toEqual(["18", "18", "18", "18", "3", "3", "3", "3"]);
  expect(answers.every(({ solution, gold, correct }) => !correct || solution.endsWith(gold))).toBe(true);
  await expect(writeAnswers(100_000)).rejects.toMatchObject({ code: "E_BENCH_ROWS" });
});
