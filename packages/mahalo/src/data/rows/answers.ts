/** Right answers as rows give them: a text, a number, true or false, or a list of these of which any is right. */
import { z } from "zod";

const single = z.union([z.string(), z.number(), z.boolean()]);

/** An answer of a row as a file holds it. */
export const rawAnswerSchema = z.union([single, z.array(single.nullable())]);

/** The right answer of a row, or the answers of which any is right. */
export type Answer = string | string[];

/** An answer as our own files keep it. */
export const answerSchema = z.union([z.string(), z.array(z.string())]);

/**
 * The answer of a row under its name, to be spread into the row; nothing where the row has none, or only blank ones.
 *
 * @example answerOf([0.5, "1/2"]) // { answer: ["0.5", "1/2"] }
 */
export function answerOf(given: z.output<typeof rawAnswerSchema> | undefined): { answer?: Answer } {
  if (given === undefined) return {};
  if (!Array.isArray(given)) return String(given).trim() === "" ? {} : { answer: String(given) };
  const filled = given.flatMap((value) =>
    value === null || String(value).trim() === "" ? [] : [String(value)],
  );
  return filled.length === 0 ? {} : { answer: filled };
}
