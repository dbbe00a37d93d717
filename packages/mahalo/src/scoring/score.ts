/** Scores of all steps of responses, from one forward pass: what a reward model says behind the end of each step. */
import { MahaloError, noGrad, scope, tensor } from "@mahalo/torch";
import { throwIfAborted } from "../core/interrupt.ts";
import { element, lastOf, zip } from "../core/need.ts";
import { packRows, type UnpackedRow } from "../data/tokens/packing.ts";
import { spansOf } from "../data/tokens/step-boundary.ts";
import type { RewardHead } from "../model/reward/reward-heads.ts";
import type { RewardModel } from "../model/reward/reward-model.ts";
import { packedAttention } from "../model/transformer/attention.ts";
import { batchTokens } from "../model/transformer/tokens.ts";

// Shapes: T tokens of a pass, N step ends of it, D hidden.

/** What scoring needs of a reward model. */
export type ScoringModel = Pick<RewardModel, "backbone" | "rewards">;

/** A response as token ids, and where its steps end. */
export type ScoredResponse = {
  /** At least one token. */
  prompt: readonly number[];
  /** At least one token. */
  response: readonly number[];
  /** For every step the index in `response` behind its last token, ascending; at least one. */
  ends: readonly number[];
  /** Which head reads it. Default: the only one there is. */
  objective?: string | undefined;
};

/** Options of {@link scoreSteps}. */
export type ScoreStepsOptions = {
  /** Most tokens of one pass; a longer response has a pass of its own. Default 8192. */
  maxTokensPerMicrobatch?: number | undefined;
  /** Responses to one prompt read the prompt once. Default true; false reads every response by itself. */
  sharePrompts?: boolean | undefined;
  /** Stops between two passes with an error. */
  signal?: AbortSignal | undefined;
  /** Called after each pass with the number of responses that are scored. */
  onProgress?: ((done: number) => void) | undefined;
};

/** @throws MahaloError E_SCORE_TOKENS naming what no score can be read of */
const check = ({ prompt, response, ends }: ScoredResponse, index: number): void => {
  const ascending = spansOf(ends).every(({ start, end }) => Number.isInteger(end) && end > start);
  const fault =
    prompt.length === 0
      ? "its prompt has no token"
      : ends.length === 0
        ? "it has no step"
        : !ascending || lastOf(ends) > response.length
          ? `its steps end at ${ends.join(", ")} of ${response.length} tokens`
          : undefined;
  if (fault === undefined) return;
  throw new MahaloError("E_SCORE_TOKENS", `response ${index + 1} cannot be scored: ${fault}`, {
    exitStatus: 1,
  });
};

/** A prompt and those of its responses that fit into one pass. */
type Group = { row: UnpackedRow; members: number[] };

/** Responses by prompt, in the order of their first; what is too long for a pass goes on in a second group. */
const groupByPrompt = (
  responses: readonly ScoredResponse[],
  maxTokensPerMicrobatch: number,
  share: boolean,
): Group[] => {
  const groups: {
    prompt: readonly number[];
    completions: (readonly number[])[];
    members: number[];
    tokens: number;
  }[] = [];
  const open = new Map<string, (typeof groups)[number]>();
  for (const [index, { prompt, response, ends }] of responses.entries()) {
    // What follows the last step changes no score.
    const completion = response.slice(0, ends.at(-1));
    const key = share ? prompt.join(" ") : String(index);
    const started = open.get(key);
    if (started !== undefined && started.tokens + completion.length <= maxTokensPerMicrobatch) {
      started.completions.push(completion);
      started.members.push(index);
      started.tokens += completion.length;
      continue;
    }
    const group = {
      prompt,
      completions: [completion],
      members: [index],
      tokens: prompt.length + completion.length,
    };
    groups.push(group);
    open.set(key, group);
  }
  return groups.map(({ prompt, completions, members }) => ({ row: { prompt, completions }, members }));
};

/** Where the step ends of a pass lie, response by response. */
type PassEnds = { member: number; offsets: number[] }[];

/** Reads the scores at step ends off hidden states, each response's under its own head. */
const readScores = (
  hidden: (offsets: readonly number[]) => ReturnType<typeof tensor>,
  ends: PassEnds,
  headOf: (member: number) => RewardHead,
): [member: number, scores: number[]][] => {
  const byHead = new Map<RewardHead, PassEnds>();
  for (const end of ends) {
    const head = headOf(end.member);
    byHead.set(head, [...(byHead.get(head) ?? []), end]);
  }
  return [...byHead].flatMap(([head, passes]) => {
    const outputs = head.apply(hidden(passes.flatMap(({ offsets }) => offsets)));
    const all = head.scores(outputs.toFloat32Array());
    let offset = 0;
    return passes.map(({ member, offsets }): [number, number[]] => {
      offset += offsets.length;
      return [member, all.slice(offset - offsets.length, offset)];
    });
  });
};

/**
 * Scores every step of every response: the head's score of the hidden state behind the step's last token, the prompt and
 * all steps up to there having been read, and nothing after.
 *
 * All steps of a response come from one pass, since a causal model's state at a token does not depend on what follows.
 * Responses are packed to `maxTokensPerMicrobatch` without padding, and those to one prompt share its tokens as completions that do
 * not see each other. How responses are packed changes rounding only.
 *
 * @returns for every response the scores of its steps, in order: probabilities of `soft` and `hard` heads, numbers of any
 *   size of `value` and `bradley-terry` heads
 * @throws MahaloError E_SCORE_TOKENS for a response without prompt or steps, E_REWARD_OBJECTIVE, E_PACK_BUDGET,
 *   E_INTERRUPTED
 *
 * @example
 * const ends = stepEnds(model.tokenizer, response, { by: "blank-line" });
 * const [scores] = scoreSteps(model, [{ prompt, response, ends }]);
 */
export const scoreSteps = (
  model: ScoringModel,
  responses: readonly ScoredResponse[],
  { maxTokensPerMicrobatch = 8192, sharePrompts = true, signal, onProgress }: ScoreStepsOptions = {},
): number[][] => {
  for (const [index, response] of responses.entries()) check(response, index);
  const heads = responses.map(({ objective }) => model.rewards.get(objective));
  const headOf = (member: number): RewardHead => element(heads, member, "response");
  const groups = groupByPrompt(responses, maxTokensPerMicrobatch, sharePrompts);
  const { device } = model.backbone.weights.embedding.value;
  const scores: number[][] = [];
  let done = 0;
  for (const { batch, members } of packRows(
    groups.map(({ row }) => row),
    maxTokensPerMicrobatch,
  )) {
    throwIfAborted(signal, "scoring");
    const ends = zip(members, batch.rows).flatMap(([group, { completions }]): PassEnds => {
      return zip(element(groups, group, "group").members, completions).map(([member, { start }]) => {
        const { ends } = element(responses, member, "response");
        return { member, offsets: ends.map((end) => start + end - 1) };
      });
    });
    const read = noGrad(() =>
      scope(() => {
        const hidden_TD = model.backbone.forward(batchTokens(batch, device), packedAttention(batch));
        const hidden = (offsets: readonly number[]) =>
          hidden_TD.indexSelect(0, tensor(Int32Array.from(offsets), { dtype: "int64", device }));
        return readScores(hidden, ends, headOf);
      }),
    );
    for (const [member, stepScores] of read) scores[member] = stepScores;
    done += ends.length;
    onProgress?.(done);
  }
  return scores;
};
