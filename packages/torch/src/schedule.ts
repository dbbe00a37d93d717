/** Learning-rate schedules: pure functions of the step. */
import { MahaloError } from "./error.ts";

/** Names of the schedules. */
export const SCHEDULES = ["constant", "linear", "cosine"] as const;

/** Name of a schedule. */
export type ScheduleName = (typeof SCHEDULES)[number];

/** Length of a run, in optimiser steps. */
export type ScheduleOptions = {
  /** Steps of the whole run; at least 1. */
  totalSteps: number;
  /** Steps in which the factor rises linearly from 0 to 1. Default 0. */
  warmupSteps?: number;
};

/** What the learning rate is multiplied by at a step, counted from 0; from 0 to 1. */
export type Schedule = (step: number) => number;

const after: Record<ScheduleName, (progress: number) => number> = {
  constant: () => 1,
  linear: (progress) => 1 - progress,
  cosine: (progress) => 0.5 * (1 + Math.cos(Math.PI * progress)),
};

/**
 * A schedule with linear warm-up of W steps in a run of T steps.
 *
 *   s < W:     s / W
 *   constant:  1
 *   linear:    1 - p                with p = min(1, (s - W) / max(1, T - W))
 *   cosine:    (1 + cos(π p)) / 2
 *
 * Source: the formulas of transformers' get_scheduler (half a cosine wave). With warm-up the first step has factor 0.
 *
 * @throws MahaloError `E_SCHEDULE` for step counts that are no whole numbers, or fewer than 1 step.
 *
 * @example
 * const factor = schedule("cosine", { totalSteps: 200, warmupSteps: 20 });
 * optimizer.learningRate = 5e-6 * factor(step);
 */
export const schedule = (name: ScheduleName, { totalSteps, warmupSteps = 0 }: ScheduleOptions): Schedule => {
  if (!Number.isSafeInteger(totalSteps) || totalSteps < 1) {
    throw new MahaloError("E_SCHEDULE", `totalSteps must be a whole number of at least 1, not ${totalSteps}`);
  }
  if (!Number.isSafeInteger(warmupSteps) || warmupSteps < 0) {
    throw new MahaloError(
      "E_SCHEDULE",
      `warmupSteps must be a whole number of at least 0, not ${warmupSteps}`,
    );
  }
  const decay = after[name];
  return (step) =>
    step < warmupSteps
      ? step / warmupSteps
      : decay(Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps)));
};
