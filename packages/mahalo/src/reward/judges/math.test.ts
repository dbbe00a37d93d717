/** Tests of the judge `math`: where answers are found, and what it says of them. */
import { expect, test } from "vitest";
import { extractAnswer } from "../math/extract.ts";
import { makeJudge } from "./registry.ts";

test.each([
  ["So \\boxed{1} and \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}", "boxed"],
  ["9 * 2 = 18\n#### 1,800", "1,800", "####"],
  ["The answer is 3. No, the answer is $\\frac{3}{4}$.", "\\frac{3}{4}", "the answer is"],
  ["He has 3 boxes of 4.5 kg.", "4.5", "last number"],
])("the final answer of %s", (reply, text, form) => {
  expect(extractAnswer(reply)).toEqual({ text, form });
});

test("verdicts", async () => {
  const judge = makeJudge({ kind: "math" }, "test");
  const items = ["#### 18", "\\boxed{19}", "no idea"].map((response) => ({
    prompt: [],
    response,
    reference: "x\n#### 18",
  }));
  expect(await judge.score(items)).toEqual([
    { score: 1, reason: "18 is right (####)" },
    { score: 0, reason: "19 is wrong (boxed); right is 18" },
    { score: 0, reason: "states no final answer; right is 18" },
  ]);
  await expect(judge.score([{ prompt: [], response: "1" }])).rejects.toThrow(/needs an answer/);
});

test("a reply of 10 million characters is answered", () => {
  expect(extractAnswer("\\boxed{".repeat(1_500_000))).toBeUndefined();
});
