/** Tiny models with heads, pairs of two objectives, and the MAH-DPO batch loss the plain way: whole rows under autograd. */
import { backward, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { lookUp } from "../../core/need.ts";
import { rng } from "../../core/random.ts";
import { unpackedRows } from "../../data/testing/unpacked-rows.ts";
import type { EncodedPair } from "../../data/tokens/encode.ts";
import { completionIds, type PackedBatch, predictors } from "../../data/tokens/packing.ts";
import type { LanguageModel, LoadOptions } from "../../model/folder/load.ts";
import { denseMask, maskedAttention } from "../../model/testing/dense-attention.ts";
import { clearGradients, gradientsOf } from "../../model/testing/gradients.ts";
import { type TinyName, tinyModel, tokensOf } from "../../model/testing/tiny.ts";
import { plainKernels } from "../../model/transformer/kernels.ts";
import type { Parameter } from "../../model/transformer/parameters.ts";
import type { PassOptions } from "../forward.ts";
import type { PairLossOptions } from "../losses.ts";
import type { Metrics, PairRecord } from "../metrics.ts";
import type { TrainOptions } from "../options.ts";
import { type PreferenceTaskOptions, preferenceTask, type ReferencePair } from "../preference.ts";
import { accumulateGradients } from "../step.ts";
import type { Task } from "../task.ts";

// Shapes: T tokens of a sequence, N response positions, V vocabulary.

/** Objectives of the pairs and heads here. */
export const OBJECTIVES = ["accuracy", "engagement"] as const;

/** A tiny model with a head for each objective, far enough apart that each has gradients of its own. */
export const alignedModel = async (
  name: TinyName = "tiny-llama",
  options: LoadOptions = {},
): Promise<LanguageModel> => {
  const model = await tinyModel(name, options);
  model.heads.addNoisyCopies(OBJECTIVES, { seed: 1, std: 0.05, compute: model.backbone.compute });
  return model;
};

/** Prompt, chosen and rejected lengths, unequal on purpose; a prompt and responses of one token are among them. */
const LENGTHS = [
  ["accuracy", 6, 5, 3],
  ["engagement", 9, 1, 7],
  ["accuracy", 1, 4, 4],
  ["engagement", 4, 8, 2],
  ["accuracy", 12, 2, 1],
  ["accuracy", 3, 3, 6],
  ["engagement", 7, 5, 5],
  ["accuracy", 5, 6, 2],
] as const;

/** Pairs of seeded token ids: five of one objective and three of the other. */
export const PAIRS: readonly EncodedPair[] = LENGTHS.map(([objective, ...lengths], index) => {
  const random = rng(7, "pairs", String(index));
  const [prompt, chosen, rejected] = lengths.map((length) =>
    Array.from({ length }, () => 3 + random.integer(250)),
  );
  return {
    objective,
    prompt: prompt ?? [],
    chosen: chosen ?? [],
    rejected: rejected ?? [],
    origin: { file: "pairs.jsonl", line: index + 1 },
  };
});

/** Reference log-probabilities as a real reference might have them: near a uniform model's. */
export const REFERENCE: readonly ReferencePair[] = PAIRS.map(({ chosen, rejected }, index) => ({
  chosen: -5.5 * chosen.length + 0.3 * index,
  rejected: -5.5 * rejected.length - 0.2 * index,
}));

/** A task over the pairs here; by default one step of all of them. */
export const pairTask = (options: Partial<PreferenceTaskOptions> = {}): Task<PairRecord> =>
  preferenceTask({
    pairs: PAIRS,
    reference: REFERENCE,
    heldOut: [],
    heldOutReference: undefined,
    steps: 1,
    batch: () => PAIRS.map((_, index) => index),
    ...options,
  });

/** Options of a short run that moves weights well above rounding. */
export const trainOptions = (options: Partial<TrainOptions> = {}): TrainOptions => ({
  learningRate: 1e-3,
  optimizer: "adamw",
  weightDecay: 0,
  schedule: "constant",
  warmup: 0,
  maxTokensPerMicrobatch: 64,
  maxGradNorm: 10,
  train: "full",
  checkpointing: false,
  evaluateEvery: 0,
  saveEvery: 100,
  ...options,
});

/** Gradients by name, and the step's metrics. */
export type StepGradients = { metrics: Metrics; gradients: Map<string, Float32Array> };

/** Gradients that training's own pass gives for a step of a task; every parameter that trains must be in `trained`. */
export const stepGradients = <R>(
  model: LanguageModel,
  task: Task<R>,
  trained: readonly Parameter[],
  options: Partial<PassOptions> = {},
): StepGradients => {
  clearGradients(model);
  const rows = task.rows(0);
  const records = accumulateGradients(model, rows, (row, logps) => task.loss(row, logps, rows), {
    maxTokensPerMicrobatch: 10_000,
    ...options,
    trained,
  });
  return { metrics: task.metrics(records), gradients: gradientsOf(model) };
};

/** Sum over a completion of log softmax(W h)[token], recorded by autograd: dense mask, composed operators. */
const plainLogProb = (model: LanguageModel, batch: PackedBatch, head: Parameter): Tensor => {
  const [row] = batch.rows;
  const [completion] = row?.completions ?? [];
  if (row === undefined || completion === undefined)
    throw new Error("a batch of one row with one completion");
  const { backbone } = model;
  const fast = backbone.kernels;
  backbone.kernels = plainKernels;
  try {
    const hidden_TD = backbone.forward(tokensOf(batch), maskedAttention(denseMask(batch)));
    const at_N = tensor(predictors(row, completion), { dtype: "int64" });
    const logits_NV = ops.linear(hidden_TD.indexSelect(0, at_N), head.value);
    const target_N1 = tensor(completionIds(batch, completion), { dtype: "int64" }).unsqueeze(1);
    return ops.gather(logits_NV.to("float32").logSoftmax(-1), 1, target_N1).sum();
  } finally {
    backbone.kernels = fast;
  }
};

/** Log-probabilities of a response, of the policy and less the reference's, and its length. */
type PlainResponse = { policy: Tensor; ratio: Tensor; length: number };
type PlainLoss = (
  chosen: PlainResponse,
  rejected: PlainResponse,
  options: { beta: number; smoothing: number; gamma: number },
) => Tensor;

const plainSigmoid = (x: Tensor, smoothing: number): Tensor => {
  const right = ops.logSigmoid(x).mul(1 - smoothing);
  return right.add(ops.logSigmoid(x.mul(-1)).mul(smoothing)).mul(-1);
};
const plainSquare = (margin: Tensor, beta: number): Tensor => ops.pow(margin.sub(1 / (2 * beta)), 2);

/** The formulas as torch operators, so that autograd finds the gradients. */
const plainLosses = new Map<string, PlainLoss>(
  Object.entries({
    sigmoid: (chosen, rejected, { beta, smoothing }) =>
      plainSigmoid(chosen.ratio.sub(rejected.ratio).mul(beta), smoothing),
    ipo: (chosen, rejected, { beta }) => plainSquare(chosen.ratio.sub(rejected.ratio), beta),
    "ipo-norm": (chosen, rejected, { beta }) =>
      plainSquare(chosen.ratio.div(chosen.length).sub(rejected.ratio.div(rejected.length)), beta),
    simpo: (chosen, rejected, { beta, smoothing, gamma }) => {
      const means = chosen.policy.div(chosen.length).sub(rejected.policy.div(rejected.length));
      return plainSigmoid(means.mul(beta).sub(gamma), smoothing);
    },
  } satisfies Record<string, PlainLoss>),
);

/** What {@link plainGradients} is told; as {@link PreferenceTaskOptions}. */
export type PlainOptions = PairLossOptions & {
  pairs?: readonly EncodedPair[];
  reference?: readonly ReferencePair[] | undefined;
  loss?: string;
  objectiveWeights?: Readonly<Record<string, number>>;
};

/**
 * The batch loss and its gradients by autograd through the whole model: one completion after the other, each with its
 * prompt, without packing, closed forms or fused kernels.
 */
export const plainGradients = (
  model: LanguageModel,
  { pairs = PAIRS, reference, loss = "sigmoid", ...options }: PlainOptions,
): { loss: number; gradients: Map<string, Float32Array> } => {
  clearGradients(model);
  const { beta = 0.1, smoothing = 0, gamma = 0.5, objectiveWeights = {} } = options;
  const total = scope(() => {
    const completions = unpackedRows(
      pairs.map(({ prompt, chosen, rejected }) => ({ prompt, completions: [chosen, rejected] })),
    );
    const byObjective = new Map<string, Tensor[]>();
    for (const [index, { objective, chosen: right, rejected: wrong }] of pairs.entries()) {
      const [chosen, rejected] = completions
        .filter(({ row }) => row === index)
        .map(({ batch }) => plainLogProb(model, batch, model.heads.get(objective)));
      if (chosen === undefined || rejected === undefined) throw new Error("a pair has two completions");
      const before = reference?.[index] ?? { chosen: 0, rejected: 0 };
      const response = (policy: Tensor, ref: number, { length }: readonly number[]): PlainResponse => ({
        policy,
        ratio: policy.sub(ref),
        length,
      });
      const losses = byObjective.get(objective) ?? [];
      byObjective.set(objective, losses);
      losses.push(
        lookUp(plainLosses, loss, "loss")(
          response(chosen, before.chosen, right),
          response(rejected, before.rejected, wrong),
          {
            beta,
            smoothing,
            gamma,
          },
        ),
      );
    }
    const weights = [...byObjective.keys()].map((name) => objectiveWeights[name] ?? 1);
    const all = weights.reduce((sum, weight) => sum + weight, 0);
    const means = [...byObjective.values()].map((losses, k) =>
      ops
        .stack(losses)
        .mean()
        .mul((weights[k] ?? 0) / all),
    );
    const batchLoss = ops.stack(means).sum();
    backward(batchLoss);
    return batchLoss.item();
  });
  return { loss: total, gradients: gradientsOf(model) };
};
