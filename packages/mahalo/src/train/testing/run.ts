/** Short training runs over a tiny model: stopped, crashed, resumed, and what they leave behind. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { hashBytes } from "../../core/files.ts";
import { mean } from "../../core/mean.ts";
import { lookUp } from "../../core/need.ts";
import { balancedBatches } from "../../data/tokens/balance.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import type { ComputeDType, Parameter } from "../../model/transformer/parameters.ts";
import { metricsFile, type PairRecord } from "../metrics.ts";
import type { TrainOptions } from "../options.ts";
import type { PreferenceTaskOptions } from "../preference.ts";
import { sftTask } from "../sft.ts";
import type { Task } from "../task.ts";
import { setTrainable, train } from "../trainer.ts";
import { alignedModel, OBJECTIVES, PAIRS, pairTask, REFERENCE, trainOptions } from "./fixture.ts";

/** Steps of a run here: more than an epoch. */
export const STEPS = 6;

/** Indices of the pairs of each step, every objective in each, as recipes order them. */
export const order = (seed: number): ((step: number) => number[]) => {
  const members = (name: string): number[] => [...PAIRS.keys()].filter((i) => PAIRS[i]?.objective === name);
  const counts = Object.fromEntries(OBJECTIVES.map((name) => [name, members(name).length]));
  const balance = balancedBatches({ counts, batchSize: 4, seed });
  return (step) =>
    balance
      .batch(Math.floor(step / balance.stepsPerEpoch), step % balance.stepsPerEpoch)
      .flatMap(({ objective, rows }) => rows.map((row) => members(objective)[row] ?? -1));
};

/** MAH-DPO over the pairs here, two of them held out. */
export const alignTask = (options: Partial<PreferenceTaskOptions> = {}, seed = 1): Task<PairRecord> =>
  pairTask({
    steps: STEPS,
    batch: order(seed),
    heldOut: PAIRS.slice(0, 2),
    heldOutReference: REFERENCE.slice(0, 2),
    ...options,
  });

const savedWeights = z.strictObject({ weights: z.record(z.string(), z.number()) });

/** {@link alignTask} with weights of objectives that grow with their mean loss (group DRO): a task with a state. */
export const groupDroTask = (): Task<PairRecord> => {
  const task = alignTask();
  let weights = new Map<string, number>(OBJECTIVES.map((name) => [name, 1]));
  return {
    ...task,
    prepare: (records) => {
      for (const name of OBJECTIVES) {
        const losses = records.filter(({ objective }) => objective === name).map(({ loss }) => loss);
        weights.set(name, lookUp(weights, name) * Math.exp(0.5 * mean(losses)));
      }
    },
    loss: (row, values, step) => {
      const { gradients, record } = task.loss(row, values, step);
      const weight = lookUp(weights, record.objective);
      return { gradients: gradients.map((gradient) => Number(gradient) * weight), record };
    },
    state: {
      save: () => ({ weights: Object.fromEntries(weights) }),
      load: (saved) => {
        weights = new Map(Object.entries(savedWeights.parse(saved).weights));
      },
    },
  };
};

/** A run as a recipe makes it, over a model of its own. */
export type Run = {
  folder: string;
  options?: Partial<TrainOptions>;
  compute?: ComputeDType;
  seed?: number;
  resume?: boolean;
  /** Ends the run by a signal after this many steps in all. */
  stopAfter?: number;
  /** Fails before this step, counted from 0, as a crash would. */
  failAt?: number;
  task?: (model: LanguageModel) => Task<unknown>;
  heads?: (model: LanguageModel) => Parameter[];
};
/** What a run ended in. */
export type Ended = {
  model: LanguageModel;
  trained: Parameter[];
  error: unknown;
  last: Record<string, number> | undefined;
  /** Pairs of each step that was trained. */
  order: number[][];
};

/** What {@link go} fails with where it is told to. */
export const CRASH = new Error("the machine went down");

/** Runs the trainer; an error that it ends in is handed back, not thrown. The caller disposes the model. */
export const go = async ({
  folder,
  options = {},
  compute = "float32",
  seed = 1,
  resume,
  stopAfter,
  failAt,
  task = () => alignTask({}, seed),
  heads = (model) => model.heads.parameters(),
}: Run): Promise<Ended> => {
  const model = await alignedModel("tiny-llama", { compute });
  const all = trainOptions(options);
  const trained = setTrainable(model, all.train, heads(model), seed, OBJECTIVES);
  const controller = new AbortController();
  const given = task(model);
  const seen: number[][] = [];
  const watched: Task<unknown> = {
    ...given,
    rows: (step) => {
      if (step === failAt) throw CRASH;
      if (stopAfter !== undefined && step + 1 >= stopAfter) controller.abort();
      const rows = given.rows(step);
      seen[step] = rows.map(({ index }) => index);
      return rows;
    },
  };
  const context = { folder, seed, signal: controller.signal, ...(resume === undefined ? {} : { resume }) };
  const ended = await train(model, watched, all, trained, context).then(
    (last) => ({ last, error: undefined }),
    (error: unknown) => ({ last: undefined, error }),
  );
  return { model, trained, order: seen, ...ended };
};

/** Every float32 weight of a model, adapters included, bit for bit. */
export const weightsOf = ({ model, trained }: Ended): Map<string, Float32Array> =>
  new Map(
    [...model.backbone.parameters(), model.heads.base, ...model.heads.parameters(), ...trained].map(
      (parameter) => [parameter.name, parameter.float().toFloat32Array()],
    ),
  );
/** A file of a run's folder; by default its metrics. */
export const text = (folder: string, name = metricsFile): string => readFileSync(join(folder, name), "utf8");

/** A digest of every weight, since comparing arrays number by number takes long. */
export const digestsOf = (run: Ended): Map<string, string> =>
  new Map([...weightsOf(run)].map(([name, { buffer }]) => [name, hashBytes(new Uint8Array(buffer))]));

/** A digest of every file of a folder's checkpoint: step, weights and moments. */
export const checkpointOf = (folder: string): Map<string, string> => {
  const name = readdirSync(folder).find((entry) => entry.startsWith("checkpoint-")) ?? "none";
  return new Map(
    readdirSync(join(folder, name)).map((file) => [
      `${name}/${file}`,
      hashBytes(readFileSync(join(folder, name, file))),
    ]),
  );
};

/** Checkpoints of a folder, half-written ones included. */
export const checkpoints = (folder: string): string[] =>
  readdirSync(folder).filter((name) => name.startsWith("checkpoint"));

/** Fine-tuning on the chosen responses here. */
export const fineTuneTask = (): Task<unknown> =>
  sftTask({
    examples: PAIRS.map(({ objective, prompt, chosen, origin }) => ({
      objective,
      prompt,
      response: chosen,
      origin,
    })),
    heldOut: [],
    steps: STEPS,
    batch: order(1),
  });
