/** Finds the label in what a judging model says. */
import { z } from "zod";
import { parseJson } from "../core/json.ts";

/** A label as it was declared, with the reason given; or what is wrong with the reply. */
export type ParsedLabel = { label: string; reason: string } | { fault: string };

const answerSchema = z.looseObject({
  label: z.union([z.string(), z.number().transform(String)]),
  reason: z.string().optional(),
});

const jsonAnswer = (text: string): z.output<typeof answerSchema> | undefined => {
  const whole = text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1);
  for (const candidate of [whole, ...(text.match(/\{[^{}]*\}/g) ?? [])]) {
    try {
      return answerSchema.parse(parseJson(candidate, z.unknown(), "the reply"));
    } catch {
      // No answer in JSON; the next candidate may be.
    }
  }
  return undefined;
};

const oneLine = (text: string): string => {
  const line = text.replaceAll(/[\p{Cc}\s]+/gu, " ").trim();
  return line.length > 200 ? `${line.slice(0, 197)}...` : line;
};

/**
 * The label of a reply: that of its first JSON object with a field `label`, else the last label that stands in the text
 * as words of its own. Case does not matter. Where JSON names a label that is not allowed, the reply has none.
 *
 * @example parseLabel("It does not. No.", ["yes", "no"]) // { label: "no", reason: "" }
 */
export const parseLabel = (text: string, labels: readonly string[]): ParsedLabel => {
  const find = (name: string) => labels.find((label) => label.toLowerCase() === name.trim().toLowerCase());
  const answer = jsonAnswer(text);
  if (answer !== undefined) {
    const label = find(answer.label);
    if (label === undefined) return { fault: `"${oneLine(answer.label)}" is not one of the labels` };
    return { label, reason: oneLine(answer.reason ?? "") };
  }
  // Longest first, so that of "not right" and "right" the former is found.
  const words = [...labels]
    .sort((a, b) => b.length - a.length)
    .map((label) => label.replaceAll(/[.*+?^${}()|[\]\\/-]/g, "\\$&"));
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}_])(?:${words.join("|")})(?![\\p{L}\\p{N}_])`, "giu");
  const last = text.match(pattern)?.at(-1);
  const label = last === undefined ? undefined : find(last);
  return label === undefined
    ? { fault: text.trim() === "" ? "the reply is empty" : `"${oneLine(text)}"` }
    : { label, reason: "" };
};
