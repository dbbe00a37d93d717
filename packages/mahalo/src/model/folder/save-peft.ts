/** Writes a mix of objectives' adapters as a folder that peft and vLLM load onto the model's own weights. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { MahaloError, noGrad, ops, scope, type Tensor, writeSafetensors } from "@mahalo/torch";
import { writeJsonFile } from "../../core/files.ts";
import { lookUp } from "../../core/need.ts";
import { type Heads, type Mix, normalizeMix } from "../heads/heads.ts";
import { adapterModules } from "../transformer/map-adapters.ts";
import { gainIn } from "../transformer/objective-adapters.ts";
import type { ComputeDType } from "../transformer/parameters.ts";
import { layerPieces, type NamedWeight } from "../transformer/weights.ts";
import type { LanguageModel } from "./load.ts";
import { replaceFolder } from "./replace-folder.ts";
import { storedWeights } from "./save.ts";

// Shapes: N inputs, M outputs, S ranks of the mix's adapters side by side.

const configFile = "adapter_config.json";

/** Options of {@link exportPeft}. */
export type PeftOptions = {
  /** Type to store. Default float32. */
  dtype?: ComputeDType;
  /** Where tools find the model that the adapter belongs to: its own folder, as `saveModel` wrote it. */
  base: string;
  /** Replace a folder that is no PEFT adapter. Default false. */
  force?: boolean;
};

/** What a PEFT adapter has of a mix's head. */
const headOf = (heads: Heads, mix: Mix): { tensors: NamedWeight[]; targets: string[]; settings: object } => {
  const name = "base_model.model.lm_head";
  const [vocabulary, hidden] = heads.base.value.shape;
  if (!heads.lowRank || vocabulary === undefined || hidden === undefined) {
    const whole = { name: `${name}.weight`, shape: heads.base.value.shape, load: () => heads.mixFloat(mix) };
    return { tensors: [whole], targets: [], settings: { modules_to_save: ["lm_head"] } };
  }
  const used = Object.entries(mix).flatMap(([objective, weight]) => {
    const head = heads.head(objective);
    return weight > 0 && "u_VR" in head ? [{ weight, ...head }] : [];
  });
  const rank = used.reduce((sum, { v_RD }) => sum + v_RD.value.size(0), 0);
  return {
    tensors: [
      {
        name: `${name}.lora_A.weight`,
        shape: [rank, hidden],
        load: () =>
          ops.cat(
            used.map(({ v_RD }) => v_RD.float()),
            0,
          ),
      },
      {
        name: `${name}.lora_B.weight`,
        shape: [vocabulary, rank],
        load: () =>
          ops
            .cat(
              used.map(({ u_VR, weight }) => u_VR.float().mul(weight)),
              1,
            )
            .contiguous(),
      },
    ],
    targets: ["lm_head"],
    // Its scale, alpha / rank, is 1.
    settings: { rank_pattern: { lm_head: rank }, alpha_pattern: { lm_head: rank } },
  };
};

/**
 * Writes a mix as a PEFT adapter: LoRA of the adapted linear maps, and the mix's head as a saved `lm_head`, or as LoRA of it
 * where heads are of low rank, which is what vLLM loads.
 *
 * Adapters of several objectives lie side by side, each B scaled by its gain, so that any mix is one adapter; that of one
 * objective has the model's own rank (twice that with a shared adapter).
 *
 * @throws MahaloError E_ADAPTERS for a model without adapters; E_MIX_*; E_FOLDER_EXISTS
 */
export const exportPeft = async (
  { backbone, heads, config }: LanguageModel,
  mix: Mix,
  dir: string,
  { dtype = "float32", base, force = false }: PeftOptions,
): Promise<void> => {
  const { adapters } = backbone;
  if (adapters === undefined) {
    throw new MahaloError("E_ADAPTERS", "the model has no adapters, which a PEFT folder could hold", {
      hint: "align with train: { adapters: {} }, or export the mix as a model of its own",
    });
  }
  const weights = Object.fromEntries(normalizeMix(mix, heads.objectives));
  const used = adapters.names.filter((name) => gainIn(weights, name) !== 0);
  if (used.length === 0) {
    throw new MahaloError(
      "E_ADAPTERS",
      "no objective of the mix has an adapter, which a PEFT folder could hold",
      {
        hint: "export the mix as a model of its own",
      },
    );
  }
  const { rank, alpha, layers, modules } = adapters.shape;
  const tensors = adapters.maps.flatMap(({ linear, adapters: map }): NamedWeight[] => {
    const [, index, module] = /^model\.layers\.(\d+)\.(.+)$/.exec(map.name) ?? [];
    const fused = lookUp(new Map(Object.entries(adapterModules)), module ?? "", "linear map");
    const matrices = used.flatMap((name) => {
      const found = map.get(name);
      return found === undefined ? [] : [{ gain: gainIn(weights, name), a: found.a_RN, b: found.b_MR }];
    });
    const a_SN = (): Tensor =>
      ops.cat(
        matrices.map(({ a }) => a.float()),
        0,
      );
    const b_MS = (): Tensor =>
      ops.cat(
        matrices.map(({ gain, b }) => b.float().mul(gain)),
        1,
      );
    const inputs = linear.weight.value.size(1);
    let start = 0;
    // A fused map's parts read the same inputs, so they share A.
    return layerPieces(config, Number(index))[fused].flatMap(({ module: path, rows }) => {
      const from = start;
      start += rows;
      const name = `base_model.model.${path}`;
      return [
        { name: `${name}.lora_A.weight`, shape: [used.length * rank, inputs], load: a_SN },
        {
          name: `${name}.lora_B.weight`,
          shape: [rows, used.length * rank],
          load: () => b_MS().narrow(0, from, rows).contiguous(),
        },
      ];
    });
  });
  const head = headOf(heads, weights);
  const targets = modules.flatMap((module) =>
    layerPieces(config, 0)[adapterModules[module]].map(({ module: path }) =>
      path.slice(path.lastIndexOf(".") + 1),
    ),
  );
  const settings = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: base,
    r: used.length * rank,
    lora_alpha: used.length * alpha,
    target_modules: [...targets, ...head.targets],
    layers_to_transform: layers.length === config.layers ? null : [...layers],
    ...head.settings,
    lora_dropout: 0,
    bias: "none",
    inference_mode: true,
  };
  await replaceFolder(
    dir,
    async (folder) => {
      noGrad(() =>
        scope(() =>
          writeSafetensors(
            join(folder, "adapter_model.safetensors"),
            storedWeights([...tensors, ...head.tensors], dtype),
          ),
        ),
      );
      await writeJsonFile(join(folder, configFile), settings);
    },
    (folder) => force || existsSync(join(folder, configFile)),
  );
};
