/** Mixes between the ends, drawn while training: they teach a model the way from one objective to the next. */
import { zip } from "../core/need.ts";
import { rng } from "../core/random.ts";
import type { Mix } from "../model/heads/heads.ts";

/** The mix that reads a step's rows of an objective; undefined for the objective alone. */
export type MixOfStep = (step: number, objective: string) => Mix | undefined;

/**
 * With probability `share` a mix drawn evenly from all mixes (a Dirichlet distribution whose parameters are 1), for each step
 * and objective by itself; otherwise the objective alone.
 *
 * @example interiorMixes(["accuracy", "engagement"], { share: 0.5, seed: 1 })(0, "accuracy")
 */
export const interiorMixes =
  (objectives: readonly string[], { share, seed }: { share: number; seed: number }): MixOfStep =>
  (step, objective) => {
    const random = rng(seed, "align", "mix", String(step), objective);
    if (random.next() >= share) return undefined;
    // Exponential numbers over their sum are distributed so.
    const drawn = objectives.map(() => -Math.log(1 - random.next()));
    const sum = drawn.reduce((total, value) => total + value, 0);
    return Object.fromEntries(zip(objectives, drawn).map(([name, value]) => [name, value / sum]));
  };
