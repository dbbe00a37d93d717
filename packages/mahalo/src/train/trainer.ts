/** The one trainer: steps of any task, with accumulation, clipping, schedule, evaluation, metrics and exact resume. */
import { join } from "node:path";
import { clipGradNorm, gradNorm, MahaloError, Optimizer, schedule, type Tensor } from "@mahalo/torch";
import { need, zip } from "../core/need.ts";
import { type Progress, progress } from "../core/progress.ts";
import { stream } from "../core/random.ts";
import { layerParameters } from "../model/backbone.ts";
import { addLora } from "../model/lora.ts";
import type { Parameter } from "../model/parameters.ts";
import { clearCheckpoints, latestCheckpoint, loadCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { passByObjective } from "./conflict.ts";
import { HiddenCache } from "./hidden-cache.ts";
import { type Metrics, MetricsLog, metricsFile, readMetrics } from "./metrics.ts";
import { decays, optimizerRules, type TrainOptions, warmupSteps } from "./options.ts";
import { measure, type ReadOptions, trainPass } from "./passes.ts";
import type { TrainedModel } from "./reader.ts";
import type { Task, TaskRow } from "./task.ts";

/** Where and how a run goes on. */
export type TrainContext = {
  /** Folder for metrics and checkpoints. */
  folder: string;
  seed: number;
  /** Go on from the folder's checkpoint, if it has one (default true); else such checkpoints are removed. */
  resume?: boolean;
  /** Ends the run after the current step, with a checkpoint. */
  signal?: AbortSignal;
};

/** Marks what trains and returns it: the chosen part of the backbone, and the heads that rows name. */
export const selectTrained = (
  model: TrainedModel,
  train: TrainOptions["train"],
  heads: readonly Parameter[],
  seed: number,
): Parameter[] => {
  const { backbone } = model;
  for (const one of backbone.parameters()) one.trainable = false;
  const chosen = (): Parameter[] => {
    if (train === "full") return backbone.parameters();
    if (train === "heads") return [];
    if ("lora" in train) return addLora(backbone, train.lora, stream(seed, "lora"));
    const { layers, norm } = backbone.weights;
    return [...layers.slice(Math.max(0, layers.length - train.lastLayers)).flatMap(layerParameters), norm];
  };
  const parameters = [...chosen(), ...heads];
  for (const one of parameters) one.trainable = true;
  return parameters;
};

const now = (): number => performance.now() / 1000;

/** Largest resident memory of this process so far, in bytes. */
const peakMemory = (): number => process.resourceUsage().maxRSS * 1024;

const tokensOf = (rows: readonly TaskRow[]): number =>
  rows.reduce(
    (sum, row) => sum + row.branches.reduce((all, branch) => all + branch.length, row.prompt.length),
    0,
  );

/** Measures a task's held-out rows, which may take minutes and shows how far it is; names get the prefix `eval_`. */
const evaluate = <R>(model: TrainedModel, task: Task<R>, options: TrainOptions & ReadOptions): Metrics => {
  const bar = progress({ label: `${task.name}, held out`, total: task.heldOut.length, unit: "rows" });
  const values = measure(model, task.heldOut, { ...options, onPass: bar.add });
  bar.done();
  const records = zip(task.heldOut, values).map(([row, own]) => task.outcome(row, own, task.heldOut).record);
  return Object.fromEntries(
    Object.entries(task.metrics(records)).map(([name, value]) => [`eval_${name}`, value]),
  );
};

/** Whether held-out rows are measured after a step: the last one, and those between that are asked for. */
function measuresAfter(done: number, steps: number, every: TrainOptions["evaluateEvery"]): boolean {
  if (every === "never") return false;
  return done === steps || (every > 0 && done % every === 0);
}

/** One run of the trainer; holds what changes from step to step. */
class Run<R> {
  readonly #model: TrainedModel;
  readonly #task: Task<R>;
  readonly #options: TrainOptions & ReadOptions;
  readonly #parameters: readonly Parameter[];
  readonly #masters: ReadonlyMap<string, Tensor>;
  readonly #optimizer: Optimizer;
  readonly #factor: (step: number) => number;
  readonly #seed: number;

  constructor(
    model: TrainedModel,
    task: Task<R>,
    options: TrainOptions,
    parameters: readonly Parameter[],
    seed: number,
  ) {
    this.#seed = seed;
    this.#model = model;
    this.#task = task;
    const cached = options.train === "heads" && (options.cacheHidden ?? true);
    this.#options = {
      ...options,
      readerOf: task.readerOf,
      hidden: cached ? new HiddenCache(model.backbone) : undefined,
    };
    this.#parameters = parameters;
    this.#masters = new Map(
      parameters.map((one) => {
        if (one.master !== undefined) return [one.name, one.master];
        throw new MahaloError("E_MODEL_NOT_TRAINABLE", `${one.name} has no master weights`, {
          exitStatus: 1,
        });
      }),
    );
    this.#optimizer = new Optimizer(this.#masters, optimizerRules[options.optimizer](options.weightDecay), {
      learningRate: 0,
      decays,
    });
    const warmup = warmupSteps(options.warmup, task.steps);
    const factor = schedule(options.schedule, { totalSteps: task.steps, warmupSteps: warmup });
    // The customary warm-up gives the first step a learning rate of 0; counting from its end wastes no step.
    this.#factor = (step) => factor(step < warmup ? step + 1 : step);
  }

  /** Parts of a checkpoint. */
  get state(): { steps: number; parameters: readonly Parameter[]; optimizer: Optimizer } {
    return { steps: this.#task.steps, parameters: this.#parameters, optimizer: this.#optimizer };
  }

  /** Frees the optimiser's moments, and hidden states. */
  dispose(): void {
    this.#optimizer.dispose();
    this.#options.hidden?.dispose();
  }

  /** Measures the held-out rows. */
  evaluate(): Metrics {
    return evaluate(this.#model, this.#task, this.#options);
  }

  /** One optimiser step, counted from 0. */
  step(step: number): Metrics {
    const began = now();
    const rows = this.#task.rows(step);
    const records = new Map<TaskRow, R>();
    const pass = (some: readonly TaskRow[]): void =>
      trainPass(
        this.#model,
        some,
        (row, values) => {
          const { slopes, record } = this.#task.outcome(row, values, rows);
          records.set(row, record);
          return slopes;
        },
        { ...this.#options, trained: this.#parameters },
      );
    const { every, project } = this.#options.conflict ?? { every: 0, project: false };
    const measured = every > 0 && step % every === 0;
    const random = stream(this.#seed, "conflict", String(step));
    const conflict =
      measured || project
        ? passByObjective(rows, this.#parameters, pass, { measure: measured, project, random })
        : pass(rows);
    const { maxGradNorm, learningRate } = this.#options;
    const norm = maxGradNorm > 0 ? clipGradNorm(this.#masters, maxGradNorm) : gradNorm(this.#masters);
    this.#optimizer.learningRate = learningRate * this.#factor(step);
    this.#optimizer.step();
    this.#optimizer.zeroGrad();
    for (const one of this.#parameters) one.refresh();
    this.#model.heads?.clearMixes();
    const seconds = now() - began;
    // Records follow the rows' order, not the passes', so that metrics do not depend on the packing.
    const inOrder = rows.map((row) => need(records.get(row), "a row's record"));
    return {
      ...this.#task.metrics(inOrder),
      ...conflict,
      grad_norm: norm,
      learning_rate: this.#optimizer.learningRate,
      seconds,
      tokens_per_second: tokensOf(rows) / seconds,
      pairs_per_second: rows.length / seconds,
      peak_memory_bytes: peakMemory(),
    };
  }
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
 * @param parameters what is trained, of {@link selectTrained}
 * @throws MahaloError E_INTERRUPTED after an abort; E_GRADIENT_NOT_FINITE, E_METRIC_NOT_FINITE; E_CHECKPOINT
 */
export const train = async <R>(
  model: TrainedModel,
  task: Task<R>,
  options: TrainOptions,
  parameters: readonly Parameter[],
  { folder, seed, resume = true, signal }: TrainContext,
): Promise<Metrics> => {
  const run = new Run(model, task, options, parameters, seed);
  // A run that begins anew must not be gone on with from an older one's checkpoint.
  if (!resume) clearCheckpoints(folder);
  const known = latestCheckpoint(folder);
  let done = known === undefined ? 0 : await loadCheckpoint(known.path, run.state);
  const log = new MetricsLog(folder, known === undefined ? {} : { resumeStep: done });
  const bar: Progress = progress({ label: task.name, total: task.steps, unit: "steps", from: done });
  let last: Metrics = {};
  const save = async (): Promise<void> => {
    log.sync();
    await saveCheckpoint(folder, { step: done, ...run.state });
  };
  try {
    if (done === task.steps) last = await loggedMetrics(folder, done);
    while (done < task.steps) {
      last = run.step(done);
      done += 1;
      log.write(done, last);
      bar.update(done, note(last));
      if (measuresAfter(done, task.steps, options.evaluateEvery) && task.heldOut.length > 0) {
        const measured = run.evaluate();
        log.write(done, measured);
        last = { ...last, ...measured };
      }
      if (signal?.aborted || done % options.saveEvery === 0) await save();
      if (signal?.aborted) {
        throw new MahaloError(
          "E_INTERRUPTED",
          `${task.name}: interrupted after step ${done} of ${task.steps}`,
          {
            hint: "the same command goes on from here",
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
