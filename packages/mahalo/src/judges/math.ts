/** The judge `math`: does the reply's final answer mean the same as the reference answer? */

import { extractAnswer, sameAnswer } from "@mahalo/math-verify";
import { z } from "zod";
import { type JudgedItem, type JudgeKind, requireSomeAnswer, type Verdict } from "./types.ts";

/** Options of the judge `math`. */
export const mathOptions = z.strictObject({
  tolerance: z
    .number()
    .min(0)
    .default(1e-6)
    .describe(
      "Largest difference between equal numbers if one is written as a decimal; relative for numbers below 1.",
    ),
});

/** Options of {@link mathJudge}, defaults filled in. */
export type MathOptions = z.output<typeof mathOptions>;

/** What a text states as an answer: an answer alone, or a worked answer with `\boxed{}`, `####` or "the answer is". */
const statedIn = (text: string): string => {
  if (/^-?\d{1,15}$/.test(text)) return text;
  const extracted = extractAnswer(text);
  return extracted === undefined || extracted.form === "last number" ? text.trim() : extracted.text;
};

/** The right answers of a reference: of a list each of its members is one; none where there is nothing to compare with. */
const rightAnswers = (reference: unknown): string[] => {
  if (Array.isArray(reference)) return reference.flatMap(rightAnswers);
  if (typeof reference === "boolean") return [String(reference)];
  if (typeof reference === "bigint" || (typeof reference === "number" && Number.isFinite(reference)))
    return [String(reference)];
  return typeof reference === "string" && reference.trim() !== "" ? [statedIn(reference)] : [];
};

const short = (text: string): string => (text.length > 80 ? `${text.slice(0, 80)}…` : text);

const judgeOne = (item: JudgedItem, { tolerance }: MathOptions): Verdict => {
  const right = rightAnswers(item.reference);
  if (right.length === 0) return { score: null, reason: "the row has no answer to compare with" };
  const wanted = short(right.join(" or "));
  const extracted = extractAnswer(item.response);
  if (extracted === undefined) return { score: 0, reason: `states no final answer; right is ${wanted}` };
  return right.some((answer) => sameAnswer(extracted.text, answer, { tolerance }))
    ? { score: 1, reason: `${short(extracted.text)} is right (${extracted.form})` }
    : { score: 0, reason: `${short(extracted.text)} is wrong (${extracted.form}); right is ${wanted}` };
};

/**
 * Verified mathematics: score 1 where the final answer means the same as the reference, or as one of a list of them,
 * else 0. It abstains from an item without an answer; where no item has one, that is an error.
 */
export const mathJudge: JudgeKind<"math", MathOptions> = {
  kind: "math",
  options: mathOptions,
  verdictsOn: "answer",
  version: "4",
  needsAnswer: true,
  make: (options) => ({
    name: "math",
    score: async (items) => {
      const verdicts = items.map((item) => judgeOne(item, options));
      requireSomeAnswer("math", items, verdicts);
      return verdicts;
    },
  }),
};
