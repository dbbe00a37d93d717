/** Loads a language model: backbone, heads, tokenizer and template, ready to train or to answer. */
import { keep, MahaloError, noGrad, type Tensor } from "@mahalo/torch";
import type { ChatTemplate } from "../../data/tokens/chat-template.ts";
import type { Tokenizer } from "../../data/tokens/tokenizer.ts";
import { type Head, Heads, headTensor } from "../heads/heads.ts";
import { storedRewards } from "../reward/reward-folder.ts";
import { Backbone } from "../transformer/backbone.ts";
import { sharedAdapter } from "../transformer/map-adapters.ts";
import { ObjectiveAdapters } from "../transformer/objective-adapters.ts";
import { type ComputeDType, type Parameter, parameter } from "../transformer/parameters.ts";
import { computeUnder, type WeightsName } from "../transformer/precision.ts";
import { quantizeBackbone } from "../transformer/quantize.ts";
import { NamedTensors, readWeights } from "../transformer/weights.ts";
import type { ModelConfig } from "./model-config.ts";
import type { GenerationDefaults, ModelSource } from "./model-source.ts";
import { type OpenModelOptions, openModelSource } from "./source.ts";

/** Options of {@link loadModel}. */
export type LoadOptions = OpenModelOptions & {
  /** Dtype to compute in. Default float32. */
  compute?: ComputeDType;
  /** Keep float32 master weights, so that the model can be trained and saved exactly. Default false. */
  training?: boolean;
  /**
   * How decoding holds the weights: "f32" and "bf16" are the same as `compute`; "int8" keeps int8 copies of layers and
   * heads beside it, which all passes without gradients use (docs/performance.md tells what that costs and saves).
   */
  weights?: WeightsName | undefined;
};

/** A model in memory. */
export type LanguageModel = {
  config: ModelConfig;
  tokenizer: Tokenizer;
  template: ChatTemplate;
  generation: GenerationDefaults;
  backbone: Backbone;
  heads: Heads;
  /** Text files that are saved beside the weights. */
  files: ReadonlyMap<string, string>;
  dispose(): void;
};

type HeldAs = { compute: ComputeDType; training: boolean };

const forwardHeads = (
  source: ModelSource,
  named: NamedTensors,
  backbone: Backbone,
  options: HeldAs,
): Heads => {
  const { vocabSize, hiddenSize, tieEmbeddings } = source.config;
  const { objectives = [], headRank } = source;
  const read = (name: string, shape = [vocabSize, hiddenSize]): Tensor => keep(named.take(name, shape));
  const held = (name: string, shape?: number[]): Parameter => parameter(name, read(name, shape), options);
  const head = (objective: string): Head =>
    headRank === undefined
      ? held(`heads.${objective}.weight`)
      : {
          u_VR: held(headTensor(objective, "u"), [vocabSize, headRank]),
          v_RD: held(headTensor(objective, "v"), [headRank, hiddenSize]),
        };
  // A tied head is a copy: nothing that happens to a head may reach the embedding.
  const tied = (): Tensor => noGrad(() => keep(backbone.weights.embedding.float().detach().clone()));
  const base = (): Tensor => {
    if (objectives.length > 0) return read("base.weight");
    // A tied model's file may hold its head all the same; should that differ, transformers goes by it, and so do we.
    return tieEmbeddings && !named.has("lm_head.weight") ? tied() : read("lm_head.weight");
  };
  return new Heads(
    parameter("lm_head.weight", base(), options),
    new Map(objectives.map((objective): [string, Head] => [objective, head(objective)])),
  );
};

/** The objectives' adapters of a model that has them. */
const readAdapters = (
  { adapters }: ModelSource,
  named: NamedTensors,
  { weights }: Backbone,
  options: HeldAs,
): ObjectiveAdapters | undefined => {
  if (adapters === undefined) return undefined;
  const { shared, objectives, ...shape } = adapters;
  const read = new ObjectiveAdapters(weights, shape);
  for (const name of [...(shared ? [sharedAdapter] : []), ...objectives])
    read.add(name, options, (tensorName, shapeOf) => named.take(tensorName, shapeOf));
  return read;
};

/**
 * Loads a model from a packaged name, a path or a hub id; see {@link openModelSource}.
 *
 * A folder that `saveModel` wrote gives its objectives' heads and adapters back, and the reference head as the base.
 *
 * @throws MahaloError E_MODEL_TENSOR_MISSING, E_MODEL_TENSOR_SHAPE, E_MODEL_TENSOR_UNKNOWN when the weights are not those
 *   that config.json speaks of, E_MODEL_IS_REWARD, E_MODEL_NOT_TRAINABLE (int8 for training), and what {@link openModelSource} throws
 */
export const loadModel = async (name: string, options: LoadOptions = {}): Promise<LanguageModel> => {
  const { compute: dtype = "float32", training = false, weights, ...rest } = options;
  const compute = computeUnder(weights, dtype);
  if (training && weights === "int8") {
    throw new MahaloError("E_MODEL_NOT_TRAINABLE", `${name}: int8 weights are for inference`, {
      hint: "train without `weights`, and load the trained model with it",
      exitStatus: 1,
    });
  }
  const source = await openModelSource(name, rest);
  const named = new NamedTensors(source.tensors(), source.origin);
  if (storedRewards(source, named) !== undefined) {
    throw new MahaloError(
      "E_MODEL_IS_REWARD",
      `${source.origin}: is a reward model, which does not generate text`,
      {
        hint: "score with it (judge kind: model), or name a language model here",
      },
    );
  }
  const backbone = new Backbone(
    source.config,
    readWeights(named, source.config, { compute, training }),
    compute,
  );
  const heads = forwardHeads(source, named, backbone, { compute, training });
  backbone.adapters = readAdapters(source, named, backbone, { compute, training });
  // A multi-head model's file holds the default mix.
  named.checkAllTaken(["lm_head.weight"]);
  if (weights === "int8") {
    quantizeBackbone(backbone);
    heads.quantize();
  }
  return {
    config: source.config,
    tokenizer: source.tokenizer,
    template: source.template,
    generation: source.generation,
    files: source.files,
    backbone,
    heads,
    dispose: () => {
      backbone.dispose();
      heads.dispose();
    },
  };
};
