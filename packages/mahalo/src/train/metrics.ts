/** Training metrics: TRL's names, JSON lines that can be cut back to a step, and output them again. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { MahaloError, makeFolder } from "@mahalo/torch";
import { z } from "zod";
import { fileError } from "../core/files.ts";
import { parseJson } from "../core/json.ts";
import { JsonlWriter } from "../core/json-lines.ts";
import { mean } from "../core/mean.ts";
import { readBytes, readBytesSync } from "../core/read-file.ts";
import { EventsFile } from "./tensorboard.ts";

/** Metrics of one step by name, for example `loss`, `rewards/margins`, `accuracy/rewards/margins`, `eval_loss`. */
export type Metrics = Record<string, number>;

/** One line of a metrics file. */
export type MetricsRow = { step: number } & Metrics;

/**
 * Metrics that tell of the machine and not of the training. They go to a file of their own, since a resumed run
 * repeats every other metric byte for byte and these never twice alike.
 */
export const timingNames: ReadonlySet<string> = new Set([
  "tokens_per_second",
  "pairs_per_second",
  "peak_memory_bytes",
  "seconds",
]);

/** The name of a metric for one objective: `accuracy/rewards/margins`. */
export const objectiveMetric = (objective: string, name: string): string => `${objective}/${name}`;

/** What a step computed for one pair; log-probabilities are summed over the response, in nats. */
export type PairRecord = {
  objective: string;
  loss: number;
  logpChosen: number;
  logpRejected: number;
  /** The chosen response's reward as the loss has it: β (log π(y) - log π_ref(y)), of SimPO (β / |y|) log π(y). */
  rewardChosen: number;
  rewardRejected: number;
};

const pairMetrics = (records: readonly PairRecord[]): Metrics => ({
  loss: mean(records.map(({ loss }) => loss)),
  "rewards/chosen": mean(records.map(({ rewardChosen }) => rewardChosen)),
  "rewards/rejected": mean(records.map(({ rewardRejected }) => rewardRejected)),
  "rewards/margins": mean(records.map(({ rewardChosen, rewardRejected }) => rewardChosen - rewardRejected)),
  "rewards/accuracies": mean(
    records.map(({ rewardChosen, rewardRejected }) => Number(rewardChosen > rewardRejected)),
  ),
  "logps/chosen": mean(records.map(({ logpChosen }) => logpChosen)),
  "logps/rejected": mean(records.map(({ logpRejected }) => logpRejected)),
});

/**
 * The preference metrics of a step under TRL's names: over all pairs, and for each objective under its own name.
 *
 * The plain `loss` is the method's: the mean over the objectives' mean losses, weighted where weights are given, so an
 * objective's share of the batch does not matter. All other plain names are means over pairs.
 *
 * @param weights weight of each objective in the loss; default 1 each.
 * @throws MahaloError E_METRICS_EMPTY for no pairs
 */
export const preferenceMetrics = (
  records: readonly PairRecord[],
  weights: Record<string, number> = {},
): Metrics => {
  const objectives = [...new Set(records.map(({ objective }) => objective))].sort();
  if (objectives.length === 0) {
    throw new MahaloError("E_METRICS_EMPTY", "a step without pairs has no preference metrics", {
      exitStatus: 1,
    });
  }
  const byObjective = objectives.map(
    (objective) =>
      [objective, pairMetrics(records.filter((record) => record.objective === objective))] as const,
  );
  const weightOf = (objective: string): number => weights[objective] ?? 1;
  const total = objectives.reduce((sum, objective) => sum + weightOf(objective), 0);
  const loss =
    byObjective.reduce((sum, [objective, metrics]) => sum + weightOf(objective) * (metrics.loss ?? 0), 0) /
    total;
  const named = byObjective.flatMap(([objective, metrics]) =>
    Object.entries(metrics).map(([name, value]) => [objectiveMetric(objective, name), value] as const),
  );
  return { ...pairMetrics(records), loss, ...Object.fromEntries(named) };
};

const rowSchema = z.object({ step: z.int().min(0) }).catchall(z.number());

/** The whole lines of a metrics file, with the number of bytes up to and with each. */
const wholeLines = (bytes: Buffer): { text: string; end: number }[] => {
  const lines: { text: string; end: number }[] = [];
  for (
    let start = 0, feed = bytes.indexOf(10);
    feed >= 0;
    start = feed + 1, feed = bytes.indexOf(10, start)
  ) {
    lines.push({ text: bytes.toString("utf8", start, feed), end: feed + 1 });
  }
  return lines;
};

/**
 * Reads a metrics file; a last line that a crash tore is left out.
 *
 * @throws MahaloError E_FILE_READ, E_JSON_SYNTAX, E_JSON_FIELD with file and line
 */
export const readMetrics = async (path: string): Promise<MetricsRow[]> => {
  return wholeLines(await readBytes(path)).map(({ text }, index) =>
    parseJson(text, rowSchema, `${path}:${index + 1}`),
  );
};

/** Bytes of a metrics file up to and with the last row of `step`; 0 where the file is not there. */
const bytesUpTo = (path: string, step: number): number => {
  if (!existsSync(path)) {
    return 0;
  }
  let kept = 0;
  for (const [index, { text, end }] of wholeLines(readBytesSync(path)).entries()) {
    if (parseJson(text, rowSchema, `${path}:${index + 1}`).step > step) {
      break;
    }
    kept = end;
  }
  return kept;
};

/** File names inside a stage's folder. */
export const metricsFile = "metrics.jsonl";
const timingsFile = "timings.jsonl";
const eventsFile = "tensorboard/events.out.tfevents.mahalo";

/** Options of {@link MetricsLog}. */
export type MetricsLogOptions = {
  /** Go on after this step: later rows are cut off. Default: start empty. */
  resumeStep?: number;
  /** Also write a TensorBoard event file. Default true. */
  tensorboard?: boolean;
  /** Seconds since 1970 for TensorBoard. Default: the system's clock. */
  now?: () => number;
};

/**
 * The metrics of one training stage: `metrics.jsonl` (repeatable), `timings.jsonl` ({@link timingNames}) and a
 * TensorBoard event file with both.
 *
 * A run that stops anywhere and resumes from a checkpoint's step writes the same `metrics.jsonl`, byte for byte, as
 * one that never stopped.
 *
 * @example
 * const log = new MetricsLog("runs/quickstart/align", { resumeStep: checkpoint?.step });
 * log.write(12, { loss: 0.41, learning_rate: 1e-5, tokens_per_second: 2100 });
 */
export class MetricsLog {
  readonly #metrics: JsonlWriter;
  readonly #timings: JsonlWriter;
  readonly #events: EventsFile | undefined;
  #step: number;

  /** @throws MahaloError E_FILE_WRITE; E_JSON_SYNTAX or E_JSON_FIELD where a file to go on with is damaged */
  constructor(folder: string, { resumeStep, tensorboard = true, now }: MetricsLogOptions = {}) {
    try {
      makeFolder(join(folder, "tensorboard"));
    } catch (error) {
      throw fileError("E_FILE_WRITE", "make the folder", folder, error);
    }
    const open = (name: string): JsonlWriter => {
      const path = join(folder, name);
      return new JsonlWriter(
        path,
        resumeStep === undefined ? {} : { keepBytes: bytesUpTo(path, resumeStep) },
      );
    };
    this.#metrics = open(metricsFile);
    this.#timings = open(timingsFile);
    this.#events = tensorboard
      ? new EventsFile(join(folder, eventsFile), {
          ...(resumeStep === undefined ? {} : { resumeStep }),
          ...(now ? { now } : {}),
        })
      : undefined;
    this.#step = resumeStep ?? 0;
  }

  /**
   * Writes the metrics of a step. A step may be written more than once (training, then evaluation), in rising order.
   *
   * @throws MahaloError E_METRIC_NOT_FINITE for a value that is not finite, naming metric and step;
   *   E_METRICS_ORDER for a step before the last one
   */
  write(step: number, metrics: Metrics): void {
    if (!Number.isInteger(step) || step < this.#step) {
      throw new MahaloError("E_METRICS_ORDER", `metrics of step ${step} after those of step ${this.#step}`, {
        exitStatus: 1,
      });
    }
    for (const [name, value] of Object.entries(metrics)) {
      if (!Number.isFinite(value)) {
        throw new MahaloError("E_METRIC_NOT_FINITE", `step ${step}: ${name} is ${value}`, {
          hint: "lower learningRate, lengthen the warm-up, or train in f32",
          exitStatus: 1,
        });
      }
    }
    this.#step = step;
    const part = (timing: boolean) =>
      Object.entries(metrics).filter(([name]) => timingNames.has(name) === timing);
    for (const [writer, entries] of [
      [this.#metrics, part(false)],
      [this.#timings, part(true)],
    ] as const) {
      if (entries.length > 0) {
        writer.write({ step, ...Object.fromEntries(entries) });
      }
    }
    this.#events?.scalars(step, metrics);
  }

  /** Waits until all is on the disk; a checkpoint calls this before it is written. */
  sync(): void {
    this.#metrics.sync();
    this.#timings.sync();
    this.#events?.sync();
  }

  /** Syncs and closes the files. */
  close(): void {
    this.#metrics.close();
    this.#timings.close();
    this.#events?.close();
  }
}
