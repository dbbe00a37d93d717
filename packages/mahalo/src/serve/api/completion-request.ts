/** What /v1/completions takes: OpenAI's older form, one or more texts or lists of token ids to be continued. */
import { z } from "zod";
import type { PromptForm } from "../engine/protocol.ts";
import { badField } from "../http/api-error.ts";
import type { Bounds } from "../options.ts";
import { ignoredFields, mixFields, samplingFields } from "./fields.ts";
import { guidanceSchema } from "./guidance.ts";

/** Length of an answer that names none, as in OpenAI's description. */
const defaultLength = 16;

const ids = z.array(z.int().min(0)).min(1).max(1_000_000);

/** Schema of a body. */
export const completionRequestSchema = (bounds: Bounds) =>
  z.strictObject({
    model: z.string().min(1).max(1024),
    prompt: z.union([
      z.string().min(1, "is empty: there is nothing to continue"),
      ids,
      z.array(z.string().min(1, "is empty: there is nothing to continue")).min(1).max(bounds.maxChoices),
      z.array(ids).min(1).max(bounds.maxChoices),
    ]),
    ...samplingFields(bounds),
    max_tokens: z.int().min(0).max(bounds.maxTokens).nullish(),
    logprobs: z.int().min(0).max(20).nullish(),
    echo: z.boolean().nullish(),
    best_of: z.literal(1, "must be 1: search by guidance, or ask for n").nullish(),
    suffix: z.null("is not supported").optional(),
    guidance: guidanceSchema(bounds).nullish(),
    ...mixFields,
    ...ignoredFields,
  });

/** A checked body. */
export type CompletionRequest = z.output<ReturnType<typeof completionRequestSchema>>;

/** The prompts of a request. */
export const promptsOf = ({ prompt }: Pick<CompletionRequest, "prompt">): PromptForm[] => {
  if (typeof prompt === "string") return [{ text: prompt }];
  const numbers = prompt.filter((part) => typeof part === "number");
  if (numbers.length > 0) return [{ ids: numbers }];
  return prompt.flatMap((part): PromptForm[] => {
    if (typeof part === "number") return [];
    return [typeof part === "string" ? { text: part } : { ids: part }];
  });
};

/** The longest answer; none at all is for those who want the prompt's own log-probabilities. @throws ApiError 400 */
export const lengthOf = ({ max_tokens, echo }: CompletionRequest): number => {
  const length = max_tokens ?? defaultLength;
  if (length > 0 || echo === true) return length;
  throw badField(
    "max_tokens",
    "is 0, so there would be no answer; give echo: true for the prompt's log-probabilities",
  );
};
