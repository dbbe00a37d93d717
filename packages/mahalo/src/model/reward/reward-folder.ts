/** Reward models as folders: which of transformers' classes opens one, and where each head's weights lie in it. */
import { MahaloError, ops, type Tensor } from "@mahalo/torch";
import { z } from "zod";
import { parseJson } from "../../core/json.ts";
import { element } from "../../core/need.ts";
import type { ChatTemplate } from "../../data/tokens/chat-template.ts";
import type { Tokenizer } from "../../data/tokens/tokenizer.ts";
import { families } from "../families/registry.ts";
import type { ModelConfig } from "../folder/model-config.ts";
import type { ModelSource } from "../folder/model-source.ts";
import type { NamedTensors, NamedWeight } from "../transformer/weights.ts";
import type { HeadClass } from "./head-kinds/kind.ts";
import { headKinds } from "./head-kinds/registry.ts";
import { type HeadSpec, makeHead, type RewardHead, type RewardObjectives } from "./reward-heads.ts";

// Shapes: D hidden, L rows of `score`.

/**
 * Which class of transformers opens a folder: `SequenceClassification` reads scores without a bias at the last token,
 * `TokenClassification` with a bias at every token, and `Model` is the backbone alone.
 */
export type RewardClass = HeadClass | "Model";

/** The heads that are rows of transformers' `score`; a head that is no linear layer has no class there. */
const inScore = <H extends HeadSpec>(heads: readonly H[]): H[] =>
  heads.filter(({ kind }) => headKinds.get(kind).transformers !== undefined);

/** The class that holds heads: of the whole text where all compare responses, of tokens where any reads steps. */
export const rewardClass = (heads: readonly HeadSpec[]): RewardClass => {
  const classes = heads.flatMap(({ kind }) => headKinds.get(kind).transformers?.class ?? []);
  if (classes.length === 0) return "Model";
  return classes.includes("TokenClassification") ? "TokenClassification" : "SequenceClassification";
};

/** First row of each linear head in `score`, and the number of all rows. */
const scoreRows = (heads: readonly HeadSpec[]): { starts: Map<string, number>; rows: number } => {
  const starts = new Map<string, number>();
  let rows = 0;
  for (const { name, kind } of inScore(heads)) {
    starts.set(name, rows);
    rows += headKinds.get(kind).outputs;
  }
  return { starts, rows };
};

/** Keys of config.json that speak of labels; renewed when a folder is written. */
const labelKeys = ["id2label", "label2id", "problem_type", "num_labels"];

/** Names of the rows of `score`. */
const labelNames = (heads: readonly HeadSpec[]): string[] =>
  heads.flatMap(({ name, kind }) => headKinds.get(kind).transformers?.labels(name) ?? []);

/** What config.json says beyond an ordinary model's. */
export const rewardConfig = (
  config: Record<string, unknown>,
  family: ModelConfig["family"],
  heads: readonly HeadSpec[],
  padId: number | undefined,
): Record<string, unknown> => {
  const kept = Object.fromEntries(Object.entries(config).filter(([key]) => !labelKeys.includes(key)));
  const kind = rewardClass(heads);
  const architectures = [`${families.get(family).className}${kind === "Model" ? "Model" : `For${kind}`}`];
  const labels = labelNames(heads);
  return {
    ...kept,
    architectures,
    ...(padId === undefined ? {} : { pad_token_id: padId }),
    ...(kind === "Model"
      ? {}
      : {
          id2label: Object.fromEntries(labels.map((label, i) => [String(i), label])),
          label2id: Object.fromEntries(labels.map((label, i) => [label, i])),
        }),
    // Several numbers that are no classes of one question.
    ...(kind === "SequenceClassification" && labels.length > 1 ? { problem_type: "regression" } : {}),
  };
};

/** Tensors of the heads: those of model.safetensors, and those of {@link valueHeadFile}. */
export const headWeights = (
  heads: readonly RewardHead[],
  hiddenSize: number,
): { score: NamedWeight[]; value: NamedWeight[] } => {
  const linear = inScore(heads);
  const rows = linear.reduce((sum, { outputs }) => sum + outputs, 0);
  const bias = (head: RewardHead): Tensor =>
    head.weights.has("bias") ? head.weight("bias").value : ops.zeros([head.outputs]);
  const score: NamedWeight[] = [
    {
      name: "score.weight",
      shape: [rows, hiddenSize],
      load: () =>
        ops.cat(
          linear.map((head) => head.weight("weight").value),
          0,
        ),
    },
    { name: "score.bias", shape: [rows], load: () => ops.cat(linear.map(bias), 0) },
  ];
  const kind = rewardClass(heads);
  const value = heads
    .filter((head) => head.type.transformers === undefined)
    .flatMap((head) =>
      [...head.weights].map(([name, parameter]) => ({
        name: `${head.name}.${name}`,
        shape: parameter.value.shape,
        load: () => parameter.value,
      })),
    );
  return {
    score: score.filter(
      ({ name }) => kind === "TokenClassification" || (kind !== "Model" && name === "score.weight"),
    ),
    value,
  };
};

/** The heads of a source, and how it tells objectives apart. */
export type StoredRewards = {
  heads: HeadSpec[];
  objectives: RewardObjectives;
  class: RewardClass;
};

const configSchema = z.looseObject({
  architectures: z.array(z.string()).nullish(),
  id2label: z.record(z.string(), z.string()).nullish(),
  problem_type: z.string().nullish(),
});

/** Heads of a folder of transformers': what its class and the rows of `score` say. */
const foreignHeads = (
  source: ModelSource,
  kind: HeadClass,
  rows: number,
  config: z.infer<typeof configSchema>,
): HeadSpec[] => {
  if (kind === "SequenceClassification" && config.problem_type === "regression" && rows > 1) {
    return Array.from({ length: rows }, (_, i) => ({
      name: config.id2label?.[String(i)] ?? `LABEL_${i}`,
      kind: "bradley-terry",
    }));
  }
  const read = headKinds.names.find((name) => headKinds.get(name).transformers?.reads(kind, rows));
  if (read !== undefined) return [{ name: "reward", kind: read }];
  throw new MahaloError(
    "E_REWARD_LABELS",
    `${source.origin}: config.json: ${rows} classes are not supported; a reward model has one number or two classes`,
    {
      hint: 'several numbers that are not classes are read where config.json says problem_type "regression"',
    },
  );
};

/**
 * What heads a source has; undefined for a model without any, such as an ordinary language model.
 *
 * A foreign folder's head is called "reward": one row of `score` is a Bradley-Terry head in SequenceClassification and a
 * soft one in TokenClassification, two rows are two classes. Several numbers a text (problem_type "regression") are
 * Bradley-Terry heads named after the labels.
 *
 * @throws MahaloError E_REWARD_LABELS, E_MODEL_TENSOR_MISSING
 */
export const storedRewards = (source: ModelSource, named: NamedTensors): StoredRewards | undefined => {
  const { reward } = source;
  if (reward !== undefined) {
    const { heads, objectives } = reward;
    return {
      heads,
      objectives: objectives === null ? { in: "heads" } : { in: "prompt", names: objectives },
      class: rewardClass(heads),
    };
  }
  const text = source.files.get("config.json");
  if (text === undefined) return undefined;
  const config = parseJson(text, configSchema, `${source.origin}: config.json`, { code: "E_CONFIG_FIELD" });
  const kind = (["SequenceClassification", "TokenClassification"] as const).find((suffix) =>
    config.architectures?.some((name) => name.endsWith(`For${suffix}`)),
  );
  if (kind === undefined) return undefined;
  const rows = named.shapeOf("score.weight")?.[0];
  if (rows === undefined) {
    throw new MahaloError("E_MODEL_TENSOR_MISSING", `${source.origin}: tensor score.weight is missing`, {
      hint: "the folder may be incomplete, or its head may not be a linear layer called score",
    });
  }
  return { heads: foreignHeads(source, kind, rows, config), objectives: { in: "heads" }, class: kind };
};

/** Reads a source's heads. */
export const forwardHeads = (
  named: NamedTensors,
  stored: StoredRewards,
  hiddenSize: number,
  training: boolean,
): RewardHead[] => {
  const { starts, rows } = scoreRows(stored.heads);
  const weight = rows > 0 ? named.take("score.weight", [rows, hiddenSize]) : undefined;
  const bias = stored.class === "TokenClassification" ? named.take("score.bias", [rows]) : undefined;
  const part = (whole: Tensor | undefined, start: number, shape: readonly number[]): Tensor =>
    whole === undefined ? ops.zeros(shape) : whole.narrow(0, start, element(shape, 0, "dimension")).clone();
  const heads = stored.heads.map((spec) => {
    const start = starts.get(spec.name);
    return makeHead(spec, hiddenSize, {
      training,
      load: (name, shape) =>
        start === undefined
          ? named.take(`${spec.name}.${name}`, shape)
          : part(name === "weight" ? weight : bias, start, shape),
    });
  });
  for (const tensor of [weight, bias]) tensor?.dispose();
  return heads;
};

/** A special token's id that ends no text, so that transformers finds the last token of a padded row; undefined if none is. */
export const paddingId = (
  config: Pick<ModelConfig, "padId">,
  tokenizer: Tokenizer,
  template: ChatTemplate,
): number | undefined => {
  const conversation = [
    { role: "user", content: "a" },
    { role: "assistant", content: "b" },
  ] as const;
  const rendered = ((): number[] => {
    try {
      return tokenizer.encode(template.render([...conversation]));
    } catch (error) {
      if (error instanceof MahaloError) return [];
      throw error;
    }
  })();
  const used = new Set([...rendered, ...tokenizer.eosIds.slice(0, 1)]);
  const candidates = [
    ...(config.padId === undefined ? [] : [config.padId]),
    ...[...tokenizer.specialIds].sort((a, b) => a - b),
  ];
  return candidates.find((id) => !used.has(id));
};
