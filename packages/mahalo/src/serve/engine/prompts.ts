/** Prompts into the tokens that the model reads; what cannot fit is refused before time is spent on it. */
import { MahaloError } from "@mahalo/torch";
import { encodePrompt } from "../../data/tokens/encode.ts";
import type { PromptForm } from "./protocol.ts";
import type { ServedModel } from "./served-models.ts";

/** Refuses a text that cannot fit whatever its tokens are. */
const checkLength = ({ model: { config }, maxPromptLength }: ServedModel, texts: readonly string[]): void => {
  const length = texts.reduce((sum, text) => sum + text.length, 0);
  if (length <= maxPromptLength) return;
  throw new MahaloError(
    "E_GENERATE_CONTEXT",
    `a prompt of ${length} characters does not fit the model's context of ${config.maxPositions} tokens`,
    { hint: "shorten the prompt" },
  );
};

/**
 * Ids of a prompt as the model gets it: the very ids that training and `mahalo generate` use.
 *
 * @throws RowProblem, MahaloError E_GENERATE_CONTEXT for a text too long for any tokens
 */
export const promptIds = (served: ServedModel, prompt: PromptForm): number[] => {
  if ("ids" in prompt) return [...prompt.ids];
  const { tokenizer, template } = served.model;
  if ("text" in prompt) {
    checkLength(served, [prompt.text]);
    return tokenizer.encode(prompt.text);
  }
  const { messages } = prompt;
  checkLength(
    served,
    messages.map(({ content }) => content),
  );
  return encodePrompt(messages, { tokenizer, template, maxPromptTokens: Number.MAX_SAFE_INTEGER });
};
