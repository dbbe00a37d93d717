/** Rows of rollouts written by hand, for tests of what reads them. */
import type { Rollout, RolloutRow } from "../file.ts";

/** One ending; by default a whole answer of one step, from the prompt, that ended by itself. */
export const ending = (given: Partial<Rollout> & Pick<Rollout, "text" | "score">): Rollout => ({
  from: 0,
  sample: 0,
  steps: 1,
  finish: "end",
  reason: "by hand",
  ...given,
});

/** A row; by default a prompt without a recorded response. */
export const rolloutRow = (given: Partial<RolloutRow> = {}): RolloutRow => ({
  key: "k",
  objective: "accuracy",
  kind: "verifiable",
  prompt: "What is 2 and 2?",
  steps: [],
  answer: "4",
  judge: "math",
  origin: { file: "rows.jsonl", line: 1 },
  rollouts: [],
  ...given,
});
