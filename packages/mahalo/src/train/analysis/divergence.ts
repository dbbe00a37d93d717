/** How far one model's next-token distributions lie from another's, exactly, over the whole vocabulary. */
import { MahaloError, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { element } from "../../core/need.ts";
import { progress } from "../../core/progress.ts";
import { predictors } from "../../data/tokens/packing.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import type { Mix } from "../../model/heads/heads.ts";
import { forwardWithoutGrad } from "../forward.ts";
import type { LossHead } from "../task.ts";

// Shapes: N response positions, C positions of a chunk, D hidden, V vocabulary.

/** An answer as tokens, its end included where it has one. */
export type EncodedAnswer = { prompt: number[]; response: number[] };

/** Final hidden states at every position that predicts a token of an answer, and the head that reads them. */
export type States = {
  /** Row by row, [N, D]. */
  hidden: Float32Array;
  /** Positions of each answer. */
  lengths: number[];
  /** [V, D]. */
  head_VD: Tensor;
};

/** Positions of one pass over the vocabulary. */
const defaultChunk = 256;

/**
 * KL(p || q) of the next token at each position, with p and q the softmax of two heads' logits:
 *
 *   KL_n = sum_v p_n(v) (log p_n(v) - log q_n(v)),  in nats, float32
 *
 * @param p hidden states [N, D] and head [V, D]; `q` likewise, its D may differ, its N and V must not
 * @param chunk positions whose logits are held at once; the result does not depend on it. Default 256.
 * @returns [N]
 */
export const positionKl = (
  p: { hidden_ND: Tensor; head_VD: Tensor },
  q: { hidden_ND: Tensor; head_VD: Tensor },
  { chunk = defaultChunk }: { chunk?: number } = {},
): Float32Array => {
  const positions = p.hidden_ND.size(0);
  if (positions !== q.hidden_ND.size(0) || p.head_VD.size(0) !== q.head_VD.size(0)) {
    throw new MahaloError("E_METRIC", "KL: the two models do not read the same positions and tokens", {
      exitStatus: 1,
    });
  }
  const kls = new Float32Array(positions);
  noGrad(() =>
    scope(() => {
      const [pHead_VD, qHead_VD] = [p.head_VD.to("float32"), q.head_VD.to("float32")];
      for (let start = 0; start < positions; start += chunk) {
        const count = Math.min(chunk, positions - start);
        scope(() => {
          const logs = (hidden_ND: Tensor, head_VD: Tensor): Tensor =>
            ops.logSoftmax(ops.linear(hidden_ND.narrow(0, start, count).to("float32"), head_VD), -1);
          const [p_CV, q_CV] = [logs(p.hidden_ND, pHead_VD), logs(q.hidden_ND, qHead_VD)];
          const kl_C = ops.exp(p_CV).mul(p_CV.sub(q_CV)).sum(-1);
          kls.set(kl_C.toFloat32Array(), start);
        });
      }
    }),
  );
  return kls;
};

/** Reads hidden states themselves. */
const stateHead = (width: number, mix: Mix | undefined): LossHead => ({
  width,
  mix,
  positions: (_row, packed, completion) => predictors(packed, completion),
  forward: (hidden_ND) => ({
    values: scope(() => hidden_ND.to("float32").reshape(-1).toFloat32Array()),
    backward: () => {
      throw new MahaloError("E_INTERNAL", "states that are only read have no gradient", { exitStatus: 1 });
    },
  }),
});

/**
 * Final hidden states of a model along answers.
 *
 * @param head_VD the head that answers: the base head, an objective's, or a merged mix; kept, not copied
 * @param options `label`: whose states these are, for the progress that is shown; `mix`: of the adapters, off by default
 */
export const statesOf = (
  model: LanguageModel,
  answers: readonly EncodedAnswer[],
  head_VD: Tensor,
  {
    maxTokensPerMicrobatch = 4096,
    label = "states of answers",
    mix,
  }: { maxTokensPerMicrobatch?: number; label?: string; mix?: Mix | undefined } = {},
): States => {
  const width = model.backbone.config.hiddenSize;
  const rows = answers.map(({ prompt, response }, index) => ({
    prompt,
    completions: [response],
    objective: undefined,
    index,
  }));
  const head = stateHead(width, mix);
  const bar = progress({ label, total: rows.length, unit: "answers" });
  const values = forwardWithoutGrad(model, rows, {
    maxTokensPerMicrobatch,
    headOf: () => head,
    onPass: bar.add,
  });
  bar.done();
  const states = values.map((completions) => element(completions, 0, "completion"));
  const lengths = states.map(({ length }) => length / width);
  const hidden = new Float32Array(lengths.reduce((total, length) => total + length, 0) * width);
  let offset = 0;
  for (const state of states) {
    hidden.set(state, offset);
    offset += state.length;
  }
  return { hidden, lengths, head_VD };
};

/**
 * KL of whole answers: each answer's sum over its positions of {@link positionKl}, in nats.
 *
 * Teacher-forced along given answers, so it tells of the states that these answers visit; their mean estimates
 * KL(π || π_ref) of whole answers where they were sampled from π at temperature 1.
 */
export const answerKl = (policy: States, reference: States): number[] => {
  const tensors = ({ hidden, head_VD }: States): { hidden_ND: Tensor; head_VD: Tensor } => ({
    hidden_ND: tensor(hidden).reshape(-1, head_VD.size(1)),
    head_VD,
  });
  const kl_N = scope(() => positionKl(tensors(policy), tensors(reference)));
  let offset = 0;
  return policy.lengths.map((length) => {
    const tokens = kl_N.subarray(offset, offset + length);
    offset += length;
    return tokens.reduce((total, value) => total + value, 0);
  });
};
