/** mahalo.json: what a saved model has beyond an ordinary Hugging Face folder. */
import { join } from "node:path";
import { z } from "zod";
import { parseJson } from "../../core/json.ts";
import { freeName } from "../../core/names.ts";
import { isThere, readTextSync } from "../../core/read-file.ts";
import { stepBoundarySchema } from "../../data/tokens/steps.ts";
import { normalizeMix } from "../heads/heads.ts";
import { headKinds } from "../reward/head-kinds/registry.ts";
import { type AdapterModule, adapterModules } from "../transformer/map-adapters.ts";

/** Name of the file; a folder that has it was written by mahalo. */
export const manifestFile = "mahalo.json";

const rewardSchema = z.strictObject({
  /** Heads of a reward model, in the order of their rows in `score.weight`; heads of the kind `value` have none there. */
  heads: z.array(z.strictObject({ name: freeName, kind: headKinds.schema() })).min(1),
  /** Objectives that are named in the prompt and share the only head; null where every head is an objective's own. */
  objectives: z.array(freeName).min(1).nullable(),
  /** What ended the steps that it was trained on; null where it was not trained on steps. */
  boundary: stepBoundarySchema.nullable(),
});

const adaptersSchema = z
  .strictObject({
    rank: z.int().positive(),
    /** Updates are scaled by alpha / rank. */
    alpha: z.number().positive(),
    /** Layers with adapters, in order. */
    layers: z.array(z.int().nonnegative()).min(1),
    modules: z.array(z.enum(Object.keys(adapterModules) as AdapterModule[])).min(1),
    /** Whether there is one that every mix has. */
    shared: z.boolean(),
    /** Objectives with an adapter. */
    objectives: z.array(freeName),
  })
  .refine(
    ({ shared, objectives }) => shared || objectives.length > 0,
    "needs an objective, or a shared adapter",
  );

/** What mahalo.json says of a reward model. */
export type RewardManifest = z.output<typeof rewardSchema>;

const manifestSchema = z
  .strictObject({
    /** Version of this format. */
    version: z.literal(1),
    /** Objectives that have a head in heads.safetensors, in order; empty for a model with one head. */
    objectives: z
      .array(freeName)
      .refine((names) => new Set(names).size === names.length, "an objective is listed twice"),
    /** Rank of the heads in heads.safetensors where they are updates of the reference head; left out where they are whole. */
    headRank: z.int().positive().optional(),
    /** The mix of requests that name none, which `lm_head.weight` holds unless there are adapters; null where the model has no objectives' heads. */
    defaultMix: z.record(z.string(), z.number().nonnegative()).nullable(),
    /** Of a model whose objectives have adapters in adapters.safetensors; its own weights are those before alignment. */
    adapters: adaptersSchema.optional(),
    /** Of a reward model, which has no output heads. */
    reward: rewardSchema.optional(),
    /** Where the model comes from, for people: any JSON. */
    provenance: z.record(z.string(), z.unknown()),
  })
  .superRefine(({ objectives, defaultMix, adapters }, context) => {
    const stray = adapters?.objectives.find((name) => !objectives.includes(name));
    if (stray !== undefined)
      context.addIssue({ code: "custom", path: ["adapters"], message: `"${stray}" has no head` });
    if ((objectives.length === 0) !== (defaultMix === null)) {
      context.addIssue({
        code: "custom",
        path: ["defaultMix"],
        message: "must be null when there are no objectives, and a mix when there are",
      });
    } else if (defaultMix !== null) {
      try {
        normalizeMix(defaultMix, objectives);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        context.addIssue({ code: "custom", path: ["defaultMix"], message });
      }
    }
  });

/** What mahalo.json says of adapters. */
export type AdaptersManifest = z.output<typeof adaptersSchema>;

/** Content of mahalo.json. */
export type Manifest = z.infer<typeof manifestSchema>;

/**
 * The manifest of a folder; undefined where there is none.
 *
 * @throws MahaloError E_FILE_READ, E_JSON_SYNTAX, E_MODEL_MANIFEST
 */
export const readManifest = (folder: string): Manifest | undefined => {
  const path = join(folder, manifestFile);
  if (!isThere(path)) return undefined;
  return parseJson(readTextSync(path), manifestSchema, path, {
    code: "E_MODEL_MANIFEST",
    hint: "the folder may be damaged, or written by a newer mahalo",
  });
};
