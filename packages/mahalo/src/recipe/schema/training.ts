/** The training blocks of a recipe: what sft, reward and align share, and what is sft's own. */
import { z } from "zod";
import type { TrainOptions } from "../../train/options.ts";
import { listOf, type RowSource, sourceSchema } from "./source.ts";

/** Keys that every training stage has. */
export const trainingSchema = z.strictObject({
  epochs: z
    .number()
    .positive()
    .default(1)
    .describe("Passes over the rows of the largest objective; fractions are fine."),
  maxSteps: z.int().positive().optional().describe("Stop after this many optimiser steps."),
  learningRate: z.number().positive().default(5e-6).describe("Learning rate at the end of warm-up."),
  optimizer: z
    .enum(["adamw", "rmsprop", "sgd"])
    .default("adamw")
    .describe("Optimiser; its state is kept in f32."),
  weightDecay: z
    .number()
    .nonnegative()
    .default(0)
    .describe("Decoupled weight decay (adamw), or L2 (rmsprop, sgd)."),
  schedule: z
    .enum(["constant", "linear", "cosine"])
    .default("constant")
    .describe("Learning rate after warm-up."),
  warmup: z
    .number()
    .nonnegative()
    .default(0.1)
    .describe("Linear warm-up: below 1 a share of all steps, otherwise a number of steps."),
  batchSize: z
    .int()
    .positive()
    .default(16)
    .describe("Rows per optimiser step; every objective is in every batch."),
  maxTokensPerMicrobatch: z
    .int()
    .positive()
    .default(4096)
    .describe(
      "Tokens of one forward and backward pass; a batch takes as many passes as it needs. Limits memory.",
    ),
  maxGradNorm: z
    .number()
    .nonnegative()
    .default(1)
    .describe("Gradients are clipped to this global norm; 0 never clips."),
  precision: z
    .enum(["auto", "f32", "bf16"])
    .default("auto")
    .describe("Compute precision over f32 weights; auto takes bf16 if the processor has it."),
  train: z
    .union([
      z.literal("full"),
      z.strictObject({
        lastLayers: z.int().nonnegative().describe("Train only the last n layers and the heads."),
      }),
      z.strictObject({
        lora: z.strictObject({
          rank: z.int().positive().default(16).describe("Rank of the update of every linear layer."),
          alpha: z.number().positive().default(32).describe("The update is scaled by alpha / rank."),
        }),
      }),
    ])
    .default("full")
    .describe("What is trained: all weights, the last layers, or low-rank updates. Heads always are."),
  checkpointing: z
    .boolean()
    .default(false)
    .describe("Recompute activations in the backward pass to save memory."),
  evaluateEvery: z
    .union([z.int().nonnegative(), z.literal("never")])
    .default(0)
    .describe("Steps between measurements on held-out rows; 0 measures at the end, never leaves them out."),
  saveEvery: z.int().positive().default(25).describe("Steps between checkpoints to resume from."),
});

/** The keys that sft and align share, defaults filled in; align alone may leave the backbone as it is. */
export type TrainingOptions = Omit<z.output<typeof trainingSchema>, "train"> & Pick<TrainOptions, "train">;

/** Supervised fine-tuning on responses. */
export const sftSchema = trainingSchema.extend({
  from: z
    .union([
      z.literal("chosen"),
      sourceSchema,
      z.array(z.union([z.literal("chosen"), sourceSchema])).min(1, "needs at least one source"),
    ])
    .default("chosen")
    .describe(
      "Rows to learn from: the chosen responses of all objectives, files of prompts and completions, or a list of both.",
    ),
});

/** The sft block, defaults filled in. */
export type SftOptions = z.output<typeof sftSchema>;

const listed = (sft: SftOptions | false): readonly ("chosen" | RowSource)[] => {
  if (sft === false) return [];
  return listOf(sft.from);
};

/** Whether the chosen responses of the objectives' pairs are learnt. */
export const learnsChosen = (sft: SftOptions | false): boolean => listed(sft).includes("chosen");

/** The files that examples are learnt from, each with its place in the recipe. */
export const exampleSources = (sft: SftOptions | false): { label: string; source: RowSource }[] => {
  const all = listed(sft);
  return all.flatMap((source, index) =>
    source === "chosen" ? [] : [{ label: all.length === 1 ? "sft.from" : `sft.from[${index}]`, source }],
  );
};
