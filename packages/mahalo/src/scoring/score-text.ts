/** Texts ready to be scored: the very tokens that a reward model was trained on, and where their steps end. */
import { MahaloError } from "@mahalo/torch";
import { RowProblem } from "../data/rows/problems.ts";
import type { Prompt } from "../data/rows/rows.ts";
import { type EncodeOptions, encodeExample } from "../data/tokens/encode.ts";
import { type StepBoundary, stepEndsOf } from "../data/tokens/steps.ts";
import type { RewardModel } from "../model/reward/reward-model.ts";
import { namedPrompt } from "../model/reward/reward-prompt.ts";
import type { ScoredResponse } from "./score.ts";

/** What turns text into tokens for a reward model. */
export type TextModel = Pick<RewardModel, "tokenizer" | "template" | "config" | "rewards" | "boundary">;

/** How texts are read. */
export type ScoreTextOptions = {
  /** What to score them on. Default: the only objective there is. */
  objective?: string | undefined;
  /** What ends a step. Default: what the model was trained on, else the whole response is one step. */
  boundary?: StepBoundary | undefined;
  /** A plain prompt becomes a user message in the chat template. Default true. */
  chat?: boolean | undefined;
};

/**
 * The objective that a model scores a text on: the one that is asked for, else the only one there is.
 *
 * @throws MahaloError E_REWARD_OBJECTIVE where the model does not score it, or scores several and none is named
 */
export const scoredObjective = ({ rewards }: Pick<TextModel, "rewards">, objective?: string): string => {
  const [only, ...others] = rewards.objectives;
  if (objective === undefined && only !== undefined && others.length === 0) return only;
  rewards.get(objective);
  if (objective !== undefined) return objective;
  throw new MahaloError(
    "E_REWARD_OBJECTIVE",
    `the reward model scores several objectives: ${rewards.objectives.join(", ")}`,
    { hint: "name one of these" },
  );
};

/** What ends a step of a text. */
export const scoredBoundary = (
  { boundary }: Pick<TextModel, "boundary">,
  asked?: StepBoundary,
): StepBoundary => asked ?? boundary ?? { by: "turn" };

/**
 * Tokens of a prompt and a response as training had them, whole: the end of the turn belongs to the last step.
 *
 * @param response its text, whose steps the boundary ends, or the texts of its steps
 * @throws RowProblem for a text that cannot be encoded or is longer than the model's context; nothing is ever cut
 */
export const encodeScored = (
  model: TextModel,
  prompt: Prompt,
  response: string | readonly string[],
  { objective, boundary, chat = true }: ScoreTextOptions = {},
): ScoredResponse => {
  const { tokenizer, template } = model;
  const limit = model.config.maxPositions;
  const whole: EncodeOptions = {
    tokenizer,
    template,
    chat,
    maxPromptTokens: Number.MAX_SAFE_INTEGER,
    maxTokens: Number.MAX_SAFE_INTEGER,
  };
  const text = typeof response === "string" ? response : response.join("");
  const encoded = encodeExample(prompt, text, whole);
  const name = scoredObjective(model, objective);
  const promptIds = namedPrompt(model, name, encoded.prompt);
  const tokens = promptIds.length + encoded.response.length;
  if (tokens > limit) {
    throw new RowProblem("too-long", `its ${tokens} tokens are more than the model's context of ${limit}`);
  }
  const steps = typeof response === "string" ? scoredBoundary(model, boundary) : response;
  const ends = stepEndsOf(tokenizer, encoded.response, steps);
  return { prompt: promptIds, response: encoded.response, ends, objective: name };
};
