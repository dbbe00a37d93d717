/** Tiny models whose objectives have adapters that do something. */
import { join } from "node:path";
import { noGrad, ops, scope, tensor } from "@mahalo/torch";
import { rng } from "../../core/random.ts";
import { normal } from "../../core/testing/normal.ts";
import { type LanguageModel, type LoadOptions, loadModel } from "../folder/load.ts";
import { saveModel } from "../folder/save.ts";
import { addAdapters, type NewAdapters } from "../transformer/objective-adapters.ts";
import { type TinyName, tinyModel, withFolder } from "./tiny.ts";

/** Objectives of the models here. */
export const ADAPTED = ["accuracy", "engagement"] as const;

/** Adapters of all linear maps, with a shared one. */
export const allMaps: NewAdapters = {
  rank: 3,
  alpha: 6,
  modules: ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
  shared: true,
};

/** Gives every adapter of a model a B that is not zero, and every low-rank head a U. */
export const stirAdapters = ({ backbone: { adapters }, heads }: LanguageModel, std = 0.03): void => {
  const random = rng(11, "adapters");
  const zeros = [...(adapters?.parameters() ?? []), ...(heads.lowRank ? heads.parameters() : [])];
  for (const parameter of zeros) {
    if (!/\.[bu]$/.test(parameter.name)) continue;
    const { shape, numel } = parameter.value;
    const noise = Float32Array.from({ length: numel }, () => std * normal(random));
    noGrad(() => scope(() => ops.copy_(parameter.master ?? parameter.value, tensor(noise, { shape }))));
    parameter.syncFromMaster();
  }
  adapters?.forgetStacks();
};

/** A tiny model with heads and adapters of {@link ADAPTED}, far enough apart to be told from each other. */
export const adaptedModel = async (
  name: TinyName = "tiny-qwen3",
  {
    adapters = allMaps,
    headRank,
    ...options
  }: LoadOptions & { adapters?: NewAdapters; headRank?: number } = {},
): Promise<LanguageModel> => {
  const model = await tinyModel(name, options);
  const { compute } = model.backbone;
  if (headRank === undefined) model.heads.addNoisyCopies(ADAPTED, { seed: 1, std: 0.05, compute });
  else model.heads.addLowRank(ADAPTED, { rank: headRank, seed: 1, compute });
  addAdapters(model.backbone, adapters, ADAPTED, 1);
  stirAdapters(model);
  return model;
};

/** Models as decoding opens them: with heads alone, and with adapters, under which every mix reads in its own way. */
export const decodingKinds = ["heads", "adapters"] as const;

/** A tiny model of {@link ADAPTED} that is not for training, so that its rows are the same in any company, bit for bit. */
export const decodingModel = async (
  kind: (typeof decodingKinds)[number],
  options: LoadOptions = {},
): Promise<LanguageModel> => {
  if (kind === "heads") {
    const model = await tinyModel("tiny-qwen3", { ...options, training: false });
    model.heads.addNoisyCopies(ADAPTED, { seed: 1, std: 0.1, compute: model.backbone.compute });
    return model;
  }
  return withFolder(async (folder) => {
    const { weights, ...training } = options;
    const model = await adaptedModel("tiny-qwen3", training);
    await saveModel(model, join(folder, "model"));
    model.dispose();
    return loadModel(join(folder, "model"), options);
  });
};
