/** The baseline that is asked rather than trained: a system message that states what each objective weighs. */
import type { Message } from "../../data/rows/messages.ts";
import type { SweepMix } from "../../evaluate/mixes.ts";
import type { ObjectiveOptions } from "../schema/schema.ts";

/**
 * A system message that states a mix in words; an objective is told by its description, where it has one.
 *
 * @example statedWeights({ brief: 0.75, kind: 0.25 }, objectives)
 * // "Weigh these goals in your reply. brief (answers in few words): 75 percent. kind: 25 percent."
 */
export const statedWeights = (
  mix: SweepMix,
  objectives: Readonly<Record<string, ObjectiveOptions>>,
): string =>
  [
    "Weigh these goals in your reply.",
    ...Object.entries(mix).map(([name, weight]) => {
      const description = objectives[name]?.description?.replace(/[.\s]+$/, "");
      const goal = description === undefined ? name : `${name} (${description})`;
      return `${goal}: ${Number((100 * weight).toFixed(1))} percent.`;
    }),
  ].join(" ");

/** Messages with a system message in front; behind the text of one that is there. */
export const withSystem = (prompt: readonly Message[], text: string): Message[] => {
  const [first, ...rest] = prompt;
  return first?.role === "system" || first?.role === "developer"
    ? [{ ...first, content: `${first.content}\n\n${text}` }, ...rest]
    : [{ role: "system", content: text }, ...prompt];
};
