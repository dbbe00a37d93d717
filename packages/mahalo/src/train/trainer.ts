/** The one trainer: steps of any task, with accumulation, clipping, schedule, evaluation, metrics and exact resume. */
import { join } from "node:path";
import { MahaloError, Optimizer, schedule } from "@mahalo/torch";
import { resumes } from "../core/interrupt.ts";
import { zip } from "../core/need.ts";
import { type Progress, progress } from "../core/progress.ts";
import { rng } from "../core/random.ts";
import type { Backbone } from "../model/transformer/backbone.ts";
import { layerParameters } from "../model/transformer/layer.ts";
import { addLora } from "../model/transformer/lora.ts";
import { addAdapters } from "../model/transformer/objective-adapters.ts";
import type { Parameter } from "../model/transformer/parameters.ts";
import { clearCheckpoints, latestCheckpoint, loadCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { forwardWithoutGrad, type ReadOptions } from "./forward.ts";
import { HiddenCache } from "./hidden-cache.ts";
import type { TrainedModel } from "./log-prob-head.ts";
import { type Metrics, MetricsLog, metricsFile, readMetrics } from "./metrics.ts";
import { decays, optimizerRules, type TrainOptions, warmupSteps } from "./options.ts";
import { StateCache } from "./state-cache.ts";
import { type TrainState, trainStep } from "./step.ts";
import type { Task } from "./task.ts";
import { TrunkCache } from "./trunk-cache.ts";

/** Where and how a run goes on. */
export type TrainContext = {
  /** Folder for metrics and checkpoints. */
  folder: string;
  seed: number;
  /** Go on from the folder's checkpoint, if it has one (default true); else such checkpoints are removed. */
  resume?: boolean;
  /** Ends the run after the current step, with a checkpoint. */
  signal?: AbortSignal;
  /** States of what stays frozen, which the caller frees. Default: the run keeps its own, in memory. */
  states?: StateCache | undefined;
};

/**
 * Marks what trains and returns it: the chosen part of the backbone, and the heads that rows name.
 *
 * @param objectives those that get adapters, where these are chosen
 */
export const setTrainable = (
  model: TrainedModel,
  train: TrainOptions["train"],
  heads: readonly Parameter[],
  seed: number,
  objectives: readonly string[] = [],
): Parameter[] => {
  const { backbone } = model;
  for (const parameter of [...backbone.parameters(), ...(backbone.adapters?.parameters() ?? [])])
    parameter.trainable = false;
  const chosen = (): Parameter[] => {
    if (train === "full") return backbone.parameters();
    if (train === "heads") return [];
    if ("lora" in train) return addLora(backbone, train.lora, rng(seed, "lora"));
    if ("adapters" in train) return addAdapters(backbone, train.adapters, objectives, seed);
    const { layers, norm } = backbone.weights;
    return [...layers.slice(Math.max(0, layers.length - train.lastLayers)).flatMap(layerParameters), norm];
  };
  const parameters = [...chosen(), ...heads];
  for (const parameter of parameters) parameter.trainable = true;
  return parameters;
};

/** Measures a task's held-out rows, which may take minutes and shows how far it is; names get the prefix `eval_`. */
const evaluate = <R>(model: TrainedModel, task: Task<R>, options: TrainOptions & ReadOptions): Metrics => {
  const bar = progress({ label: `${task.name}, held out`, total: task.heldOut.length, unit: "rows" });
  const values = forwardWithoutGrad(model, task.heldOut, { ...options, onPass: bar.add });
  bar.done();
  const records = zip(task.heldOut, values).map(([row, read]) => task.loss(row, read, task.heldOut).record);
  return Object.fromEntries(
    Object.entries(task.metrics(records)).map(([name, value]) => [`eval_${name}`, value]),
  );
};

/** Whether held-out rows are measured after a step: the last one, and those between that are asked for. */
function measuresAfter(done: number, steps: number, every: TrainOptions["evaluateEvery"]): boolean {
  if (every === "never") return false;
  return done === steps || (every > 0 && done % every === 0);
}

/** Layers below the first one that training changes, of `layers`: all of them where it changes heads alone. */
export const frozenLayers = ({ train }: Pick<TrainOptions, "train">, layers: number): number => {
  if (train === "heads") return layers;
  if (typeof train === "string" || "lora" in train) return 0;
  const changed = "lastLayers" in train ? train.lastLayers : train.adapters.lastLayers;
  return Math.max(0, layers - (changed ?? layers));
};

/**
 * How passes read what training leaves as it is: heads read kept hidden states where nothing else is trained, and passes
 * begin above the layers that stay frozen.
 */
export const frozenReads = (
  backbone: Backbone,
  options: Pick<TrainOptions, "train" | "cacheHidden">,
  states: StateCache | undefined,
): Pick<ReadOptions, "hidden" | "trunk"> => {
  if (states === undefined || options.cacheHidden === false) return {};
  if (options.train === "heads") return { hidden: new HiddenCache(backbone, states) };
  const layers = frozenLayers(options, backbone.config.layers);
  return layers === 0 ? {} : { trunk: new TrunkCache(backbone, layers, states) };
};

/** What a run of the trainer begins with; frees nothing that it did not make. */
function beginRun<R>(
  model: TrainedModel,
  task: Task<R>,
  options: TrainOptions,
  parameters: readonly Parameter[],
  { seed, states: given }: Pick<TrainContext, "seed" | "states">,
): TrainState<R> & { dispose(): void } {
  const masters = new Map(
    parameters.map(({ name, master }) => {
      if (master !== undefined) return [name, master];
      throw new MahaloError("E_MODEL_NOT_TRAINABLE", `${name} has no master weights`, { exitStatus: 1 });
    }),
  );
  // A base head that is the embedding, too, is no head of its own.
  const backbone = new Set(model.backbone.parameters());
  const heads = new Set(
    (model.heads === undefined ? [] : [model.heads.base, ...model.heads.parameters()])
      .filter((head) => !backbone.has(head))
      .map(({ name }) => name),
  );
  const { learningRate, headLearningRate = learningRate } = options;
  const headScale = headLearningRate === learningRate ? 1 : headLearningRate / learningRate;
  const optimizer = new Optimizer(masters, optimizerRules[options.optimizer](options.weightDecay), {
    learningRate: 0,
    decays,
    scales: (name) => (heads.has(name) ? headScale : 1),
  });
  const made = given === undefined ? new StateCache() : undefined;
  const frozen = frozenReads(model.backbone, options, given ?? made);
  const warmup = warmupSteps(options.warmup, task.steps);
  const factor = schedule(options.schedule, { totalSteps: task.steps, warmupSteps: warmup });
  return {
    model,
    task,
    options: { ...options, headOf: task.headOf, ...frozen },
    parameters,
    masters,
    optimizer,
    // The customary warm-up gives the first step a learning rate of 0; counting from its end wastes no step.
    schedule: (step) => factor(step < warmup ? step + 1 : step),
    seed,
    dispose: () => {
      optimizer.dispose();
      made?.dispose();
    },
  };
}

const note = (metrics: Metrics): string => {
  const part = (name: string, show: (value: number) => string): string[] =>
    metrics[name] === undefined ? [] : [show(metrics[name])];
  return [
    ...part("loss", (loss) => `loss ${loss.toFixed(4)}`),
    ...part("accuracy", (accuracy) => `accuracy ${accuracy.toFixed(2)}`),
    ...part("rewards/accuracies", (accuracy) => `accuracy ${accuracy.toFixed(2)}`),
    ...part("tokens_per_second", (speed) => `${Math.round(speed)} tokens/s`),
  ].join(", ");
};

/** What the log has of a step. */
const loggedMetrics = async (folder: string, step: number): Promise<Metrics> => {
  const rows = await readMetrics(join(folder, metricsFile));
  const entries = rows.filter((row) => row.step === step).flatMap((row) => Object.entries(row));
  return Object.fromEntries(entries.filter(([name]) => name !== "step"));
};

/**
 * Trains a model on a task and returns the last metrics.
 *
 * Checkpoints go to the folder every `saveEvery` steps and when the signal asks for an end; a run that goes on from one
 * writes the same metrics and ends in the same weights, byte for byte, as one that never stopped. Held-out rows are
 * measured every `evaluateEvery` steps and at the end, or never.
 *
 * @param parameters what is trained, of {@link setTrainable}
 * @throws MahaloError E_INTERRUPTED after an abort; E_GRADIENT_NOT_FINITE, E_METRIC_NOT_FINITE; E_CHECKPOINT
 */
export const train = async <R>(
  model: TrainedModel,
  task: Task<R>,
  options: TrainOptions,
  parameters: readonly Parameter[],
  { folder, seed, resume = true, signal, states }: TrainContext,
): Promise<Metrics> => {
  const run = beginRun(model, task, options, parameters, { seed, states });
  const checkpointed = { steps: task.steps, parameters, optimizer: run.optimizer, task: task.state };
  // A run that begins anew must not be gone on with from an older one's checkpoint.
  if (!resume) clearCheckpoints(folder);
  const checkpoint = latestCheckpoint(folder);
  let done = checkpoint === undefined ? 0 : await loadCheckpoint(checkpoint.path, checkpointed);
  const log = new MetricsLog(folder, checkpoint === undefined ? {} : { resumeStep: done });
  const bar: Progress = progress({ label: task.name, total: task.steps, unit: "steps", from: done });
  let last: Metrics = {};
  const save = async (): Promise<void> => {
    log.sync();
    await saveCheckpoint(folder, { step: done, ...checkpointed });
  };
  try {
    if (done === task.steps) last = await loggedMetrics(folder, done);
    while (done < task.steps) {
      last = trainStep(run, done);
      done += 1;
      log.write(done, last);
      bar.update(done, note(last));
      if (measuresAfter(done, task.steps, options.evaluateEvery) && task.heldOut.length > 0) {
        const measured = evaluate(model, task, run.options);
        log.write(done, measured);
        last = { ...last, ...measured };
      }
      if (signal?.aborted || done % options.saveEvery === 0) await save();
      if (signal?.aborted) {
        throw new MahaloError(
          "E_INTERRUPTED",
          `${task.name}: interrupted after step ${done} of ${task.steps}`,
          {
            hint: resumes,
            exitStatus: 1,
          },
        );
      }
      // Lets signals and timers through between steps.
      await new Promise((resolve) => setImmediate(resolve));
    }
    bar.done(note(last));
  } finally {
    log.close();
    run.dispose();
  }
  clearCheckpoints(folder);
  return last;
};
