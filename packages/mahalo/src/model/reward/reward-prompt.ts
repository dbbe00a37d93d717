/** How a reward model of several objectives is told which one it scores: by name, in front of the prompt. */
import type { RewardModel } from "./reward-model.ts";

/** What naming an objective needs of a reward model. */
export type NamingModel = {
  config: Pick<RewardModel["config"], "bosId">;
  tokenizer: Pick<RewardModel["tokenizer"], "encode">;
  rewards: Pick<RewardModel["rewards"], "objectivesIn" | "get">;
};

/**
 * The prompt that a reward model reads for one objective.
 *
 * Where objectives are named in the prompt, the tokens of `Objective: NAME` and a blank line stand before all others, but
 * behind a token that begins a text and occurs nowhere else; the rest stays as it is. Where objectives have heads of their
 * own, the prompt itself.
 *
 * @throws MahaloError E_REWARD_OBJECTIVE for an objective that the model does not score
 *
 * @example namedPrompt(model, "accuracy", encodePrompt("2 + 2?", model)) // ids of "Objective: accuracy\n\n<|im_start|>..."
 */
export const namedPrompt = (
  { config: { bosId }, tokenizer, rewards }: NamingModel,
  objective: string,
  prompt: readonly number[],
): number[] => {
  rewards.get(objective);
  if (rewards.objectivesIn === "heads") return [...prompt];
  const name = tokenizer.encode(`Objective: ${objective}\n\n`);
  // Chat templates begin every turn with a token that some models call their beginning of text.
  const begins = bosId !== undefined && prompt[0] === bosId && prompt.lastIndexOf(bosId) === 0;
  return begins ? [bosId, ...name, ...prompt.slice(1)] : [...name, ...prompt];
};
