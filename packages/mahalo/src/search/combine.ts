/** From scores to what candidates compete with: among competitors, and over objectives. */
import { MahaloError } from "@mahalo/torch";
import { mean } from "../core/mean.ts";
import { element } from "../core/need.ts";
import { didYouMean } from "../core/suggest.ts";
import type { normalizations } from "./options.ts";

type Normalization = (typeof normalizations)[number];

/** Values less their mean, over their standard deviation; all 0 where they are equal. */
const zScores = (values: readonly number[]): number[] => {
  const centre = mean(values);
  const spread = Math.sqrt(mean(values.map((value) => (value - centre) ** 2)));
  return values.map((value) => (spread > 0 ? (value - centre) / spread : 0));
};

/** Share of the others that a value lies above, equals counting half; 0.5 for a single one. */
const ranks = (values: readonly number[]): number[] =>
  values.map((value, index) => {
    const others = values.filter((_, other) => other !== index);
    if (others.length === 0) return 0.5;
    return mean(others.map((other) => (other < value ? 1 : other === value ? 0.5 : 0)));
  });

/** Competing values made comparable. */
export const normalizeScores = (values: readonly number[], how: Normalization): number[] =>
  how === "raw" ? [...values] : how === "z-score" ? zScores(values) : ranks(values);

/**
 * What candidates compete with: sum_k w_k norm(score_k), the norm among the given candidates.
 *
 * @param candidates each one's value for each objective, in the order of `weights`
 * @param weights of the objectives
 */
export const weighScores = (
  candidates: readonly (readonly number[])[],
  weights: readonly number[],
  how: Normalization,
): number[] => {
  const columns = weights.map((_, k) =>
    normalizeScores(
      candidates.map((values) => element(values, k, "value")),
      how,
    ),
  );
  return candidates.map((_, index) =>
    weights.reduce(
      (sum, weight, k) => sum + (weight === 0 ? 0 : weight * element(element(columns, k), index)),
      0,
    ),
  );
};

/**
 * Guidance weights for each objective of a scorer, 1 where none is given. They need not sum to 1, and may be negative: a
 * score that one wants low.
 *
 * @throws MahaloError E_GUIDE_WEIGHT for an unknown objective or a weight that is no finite number
 */
export const guidanceWeights = (
  objectives: readonly string[],
  given: Readonly<Record<string, number>> = {},
): number[] => {
  for (const [name, weight] of Object.entries(given)) {
    if (!objectives.includes(name)) {
      throw new MahaloError(
        "E_GUIDE_WEIGHT",
        `guidance: no scorer scores "${name}". ${didYouMean(name, objectives)}`,
      );
    }
    if (!Number.isFinite(weight))
      throw new MahaloError("E_GUIDE_WEIGHT", `guidance.${name}: weight ${weight} is not a finite number`);
  }
  return objectives.map((name) => (Object.hasOwn(given, name) ? (given[name] ?? 1) : 1));
};
