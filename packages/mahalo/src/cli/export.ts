/** mahalo export: write one mix of a multi-head model as an ordinary model folder. */
import { type Command, Option } from "commander";
import { loadModel } from "../model/folder/load.ts";
import { exportMix } from "../model/folder/save.ts";
import { exportPeft } from "../model/folder/save-peft.ts";
import { normalizeMix } from "../model/heads/heads.ts";
import type { ComputeDType } from "../model/transformer/parameters.ts";
import { type CommonOptions, command, type Io, outputOf, usage } from "./command.ts";
import { type MixFlags, oneMixOf, withMix } from "./mix-options.ts";

type ExportOptions = CommonOptions &
  MixFlags & { to: string; dtype: "f32" | "bf16"; peft?: boolean; force?: boolean };

const dtypes: Record<ExportOptions["dtype"], ComputeDType> = { f32: "float32", bf16: "bfloat16" };

/** Exports a mix: a folder that every tool for Hugging Face models opens as it is. */
export const exportCommand = (io: Io): Command =>
  withMix(
    command({
      name: "export",
      summary: "Write one mix of a multi-head model as an ordinary Hugging Face folder.",
      examples: [
        [
          "mahalo export runs/values/align/model --mix helpful=0.7,harmless=0.3 --to values-7030",
          "for transformers, vLLM and others",
        ],
        [
          "mahalo export MODEL --mix accuracy=1 --to accurate --dtype bf16",
          "one objective, at half the size",
        ],
      ],
    }).argument("<model>", "folder of a multi-head model"),
    { several: false, none: "none, one is needed" },
  )
    .requiredOption("--to <dir>", "folder to write")
    .addOption(new Option("--dtype <dtype>", "type to store").choices(Object.keys(dtypes)).default("f32"))
    .option(
      "--peft",
      "write a PEFT adapter for the model's own weights, which peft and vLLM load, in place of a model",
    )
    .option("--force", "replace whatever is there")
    .action(async (name: string, { to, dtype, peft = false, force = false, ...options }: ExportOptions) => {
      const output = outputOf(io, options);
      const mix = await oneMixOf(options, name);
      if (mix === undefined) throw usage("--mix: is missing; or give --at or --target");
      const model = await loadModel(name);
      try {
        const weights = Object.fromEntries(normalizeMix(mix, model.heads.objectives));
        if (peft) await exportPeft(model, mix, to, { dtype: dtypes[dtype], force, base: name });
        else await exportMix(model, mix, to, { dtype: dtypes[dtype], force, provenance: { model: name } });
        const shown = Object.entries(weights).map(([objective, weight]) => `${objective}=${weight}`);
        output.result({ model: name, mix: weights, dtype, folder: to }, () => `${to}: ${shown.join(",")}\n`);
      } finally {
        model.dispose();
      }
    });
