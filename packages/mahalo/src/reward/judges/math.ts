/** The judge `math`: does the reply's final answer mean the same as the reference answer? */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { sameAnswer } from "../math/compare.ts";
import { extractAnswer } from "../math/extract.ts";
import { itemName, type JudgedItem, type JudgeKind, type Verdict } from "./types.ts";

/** Options of the judge `math`. */
export const mathOptions = z.strictObject({
  tolerance: z
    .number()
    .min(0)
    .default(1e-6)
    .describe(
      "Largest difference of numbers of which one is written as a decimal; relative for numbers below 1.",
    ),
});

/** Options of {@link mathJudge}, defaults filled in. */
export type MathOptions = z.output<typeof mathOptions>;

/** The gold answer: a number, an answer alone, or a worked answer with `\boxed{}` or `####`. */
const gold = (reference: unknown, where: string): string => {
  if (typeof reference === "number" && Number.isFinite(reference)) return String(reference);
  if (typeof reference === "string" && reference.trim() !== "") {
    const found = extractAnswer(reference);
    return found === undefined || found.form === "last number" ? reference.trim() : found.text;
  }
  throw new MahaloError(
    "E_JUDGE_REFERENCE",
    `${where}: the judge "math" needs an answer to compare with, not ${JSON.stringify(reference) ?? "nothing"}`,
    { hint: "give every prompt row an answer, for example through the column map" },
  );
};

const short = (text: string): string => (text.length > 80 ? `${text.slice(0, 80)}…` : text);

const judgeOne = (item: JudgedItem, index: number, { tolerance }: MathOptions): Verdict => {
  const wanted = gold(item.reference, itemName(item, index));
  const found = extractAnswer(item.response);
  if (found === undefined) return { score: 0, reason: `states no final answer; right is ${short(wanted)}` };
  return sameAnswer(found.text, wanted, { tolerance })
    ? { score: 1, reason: `${short(found.text)} is right (${found.form})` }
    : { score: 0, reason: `${short(found.text)} is wrong (${found.form}); right is ${short(wanted)}` };
};

/** Verified mathematics: score 1 where the final answer means the same as the reference, else 0. */
export const mathJudge: JudgeKind<"math", MathOptions> = {
  kind: "math",
  options: mathOptions,
  version: "2",
  make: (options) => ({
    name: "math",
    score: async (items) => items.map((item, index) => judgeOne(item, index, options)),
  }),
};
