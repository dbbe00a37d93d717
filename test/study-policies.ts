/** Policies of a study whose scores are told by how many in twelve prompts are right. */
import type { MixScores, PolicyScores } from "../bench/study/claims.ts";

/** Three seeds of twelve prompts, of which so many in twelve score 1; the same prompts first for all policies. */
export const seeds = (twelfths: number): number[][] =>
  Array.from({ length: 3 }, () => Array.from({ length: 12 }, (_, index) => Number(index < twelfths)));
/** A policy by its scores on x and y. */
export const policy = (label: string, x: number, y: number): PolicyScores => ({
  label,
  scores: { x: seeds(x), y: seeds(y) },
});
/** The same as a mix of both. */
export const mixed = (weight: number, x: number, y: number): MixScores => ({
  ...policy(`x=${weight}`, x, y),
  mix: { x: weight, y: 1 - weight },
});
