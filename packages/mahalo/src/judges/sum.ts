/** The judge `sum`: does the reply's final answer equal the problem's reference number? */

import { lastBoxed } from "@mahalo/math-verify";
import { z } from "zod";
import { numbersIn } from "./numbers.ts";
import { isQuestion, sentences } from "./text.ts";
import { type JudgedItem, type JudgeKind, requireSomeAnswer, type Verdict } from "./types.ts";

/** Options of the judge `sum`. */
export const sumOptions = z.strictObject({
  lastNumber: z
    .boolean()
    .default(true)
    .describe("If no final answer is found, take the last number outside questions."),
  tolerance: z
    .number()
    .min(0)
    .default(1e-6)
    .describe("Largest difference that counts as equal, relative to the reference and at least to 1."),
});

/** Options of {@link sumJudge}, defaults filled in. */
export type SumOptions = z.output<typeof sumOptions>;

/** A final answer, and the form in which the reply gave it. */
export type FinalAnswer = { value: number; form: "boxed" | "####" | "the answer is" | "last number" };

/** The number an expression says: after its last `=` where it has one, else its first. */
const stated = (text: string): number | undefined => {
  const fraction = text
    .replaceAll(/\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}/g, "$1/$2")
    .replaceAll(/\\[,;!]|\{,\}/g, ",");
  const equals = fraction.lastIndexOf("=");
  const [first] = numbersIn(equals < 0 ? fraction : fraction.slice(equals + 1));
  return first;
};

const answerPhrase =
  /\banswer\b[^.:?!\d]{0,60}?(?:\bis\b|\bwas\b|\bwould be\b|[:=])(?!\s+not\b)(?<rest>.*)$/iu;

/**
 * The final answer of a reply: the last `\boxed{n}`, else the last `#### n`, else the last sentence that says "the
 * answer is n", else (where `lastNumber` is true) the last number that stands in no question.
 *
 * Questions never count: a reply that asks "What is 14 - 7?" has stated no answer.
 *
 * @example finalAnswer("12 + 7 = 19\n\nThe answer is 19.") // { value: 19, form: "the answer is" }
 */
export const finalAnswer = (response: string, lastNumber = true): FinalAnswer | undefined => {
  const boxed = stated(lastBoxed(response) ?? "");
  if (boxed !== undefined) {
    return { value: boxed, form: "boxed" };
  }
  const marked = [...response.matchAll(/####(.*)/g)].at(-1)?.[1];
  const afterMark = stated(marked ?? "");
  if (afterMark !== undefined) {
    return { value: afterMark, form: "####" };
  }
  const statements = sentences(response).filter((sentence) => !isQuestion(sentence));
  for (const sentence of statements.toReversed()) {
    const said = stated(answerPhrase.exec(sentence)?.groups?.rest ?? "");
    if (said !== undefined) {
      return { value: said, form: "the answer is" };
    }
  }
  const last = lastNumber ? numbersIn(statements.join("\n")).at(-1) : undefined;
  return last === undefined ? undefined : { value: last, form: "last number" };
};

const numberIn = (reference: unknown): number | undefined => {
  if (typeof reference === "number" && Number.isFinite(reference)) return reference;
  if (typeof reference !== "string") return undefined;
  return finalAnswer(reference, false)?.value ?? numbersIn(reference)[0];
};

const judgeOne = (item: JudgedItem, { lastNumber, tolerance }: SumOptions): Verdict => {
  const given: readonly unknown[] = Array.isArray(item.reference) ? item.reference : [item.reference];
  const right = given.flatMap((value) => numberIn(value) ?? []);
  if (right.length === 0) return { score: null, reason: "the row has no number to compare with" };
  const wanted = right.join(" or ");
  const stated = finalAnswer(item.response, lastNumber);
  if (stated === undefined) return { score: 0, reason: `states no final answer; right is ${wanted}` };
  const isRight = right.some(
    (value) => Math.abs(stated.value - value) <= tolerance * Math.max(1, Math.abs(value)),
  );
  return isRight
    ? { score: 1, reason: `${stated.value} is right (${stated.form})` }
    : { score: 0, reason: `${stated.value} is wrong (${stated.form}); right is ${wanted}` };
};

/**
 * Verified sums: score 1 where the final answer equals the reference number, or one of a list of them, else 0. See
 * {@link finalAnswer}. It abstains from an item without a number; where no item has one, that is an error.
 */
export const sumJudge: JudgeKind<"sum", SumOptions> = {
  kind: "sum",
  options: sumOptions,
  verdictsOn: "answer",
  version: "2",
  needsAnswer: true,
  make: (options) => ({
    name: "sum",
    score: async (items) => {
      const verdicts = items.map((item) => judgeOne(item, options));
      requireSomeAnswer("sum", items, verdicts);
      return verdicts;
    },
  }),
};
