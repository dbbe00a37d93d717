/** How objectives pull on the backbone they share: cosines of their gradients, and projection of those in conflict. */
import { keep, noGrad, ops, scope, type Tensor } from "@mahalo/torch";
import { element, zip } from "../../core/need.ts";
import type { Random } from "../../core/random.ts";
import type { Parameter } from "../../model/transformer/parameters.ts";
import type { Metrics } from "../metrics.ts";
import type { TaskRow } from "../task.ts";

/** What is done about objectives whose gradients point apart. */
export type ConflictOptions = {
  /** Steps between measurements of the cosines, from the first step on; 0 never measures. */
  every: number;
  /** Whether gradients in conflict are projected in every step; see {@link projectConflicts}. */
  project: boolean;
};

/** Inner products of all objectives' gradients with each other, in one order. */
export type Gram = readonly (readonly number[])[];

const entry = (gram: Gram, i: number, j: number): number => element(element(gram, i), j);

/**
 * PCGrad, told by inner products alone: how much of each objective's gradient goes into the step.
 *
 * Each gradient g_i goes through the others in a random order; where what is left of it points against another one,
 * g_i · g_j < 0, that part is taken out: g_i <- g_i - (g_i · g_j / |g_j|²) g_j. All results are summed. Since they stay
 * sums of the gradients they began with, sum_k c_ik g_k, their products follow from G alone: g_i · g_j = sum_k c_ik G_kj.
 *
 * Source: Yu et al. 2020 (gradient surgery), algorithm 1.
 *
 * @param gram G_ij = g_i · g_j
 * @param random the order in which each goes through the others
 * @returns `coefficients` c_k of sum_k c_k g_k, all 1 where nothing is in conflict; the number of `projections`
 *
 * @example projectConflicts([[1, -1], [-1, 4]], random) // { coefficients: [2, 1.25], projections: 2 }
 */
export const projectConflicts = (
  gram: Gram,
  random: Random,
): { coefficients: number[]; projections: number } => {
  const all = gram.map((_, index) => index);
  const coefficients = all.map(() => 0);
  let projections = 0;
  for (const i of all) {
    const combination = all.map((k) => Number(k === i));
    for (const j of random.shuffle(all.filter((other) => other !== i))) {
      const product = combination.reduce((sum, weight, k) => sum + weight * entry(gram, k, j), 0);
      if (product >= 0 || entry(gram, j, j) === 0) continue;
      combination[j] = element(combination, j) - product / entry(gram, j, j);
      projections += 1;
    }
    for (const [k, weight] of combination.entries()) coefficients[k] = element(coefficients, k) + weight;
  }
  return { coefficients, projections };
};

/**
 * The cosine of each two gradients, g_i · g_j / (|g_i| |g_j|), under `<first>~<second>`; left out where one is zero.
 *
 * @example cosines([[1, -1], [-1, 4]], ["brief", "kind"]) // { "brief~kind": -0.5 }
 */
export const cosines = (gram: Gram, names: readonly string[]): Metrics => {
  const found: Metrics = {};
  for (const [i, first] of names.entries()) {
    for (const [j, second] of names.entries()) {
      const scale = Math.sqrt(entry(gram, i, i)) * Math.sqrt(entry(gram, j, j));
      if (j > i && scale > 0) found[`${first}~${second}`] = entry(gram, i, j) / scale;
    }
  }
  return found;
};

/** Which part of the model a parameter is of: `layer_07`, or `rest` for embedding, norm and a shared head. */
const partOf = ({ name }: Parameter): string => {
  const layer = /^(?:model\.layers|lora)\.(\d+)\./.exec(name)?.[1];
  return layer === undefined ? "rest" : `layer_${layer.padStart(2, "0")}`;
};

/** Whether objectives share a parameter; a head of one objective's own gets no other's gradient. */
const isShared = ({ name }: Parameter): boolean => !name.startsWith("heads.");

/** The gradients of one parameter by objective; undefined where none arrived. */
type Own = (Tensor | undefined)[];

const gramOf = (gradients: Own): number[][] =>
  noGrad(() =>
    scope(() => {
      const flat = gradients.map((gradient) => gradient?.reshape(-1));
      return flat.map((a) =>
        flat.map((b) => (a === undefined || b === undefined ? 0 : ops.dot(a, b).item())),
      );
    }),
  );

const plus = (a: Gram, b: Gram): Gram => b.map((row, i) => row.map((value, j) => entry(a, i, j) + value));

const combined = (gradients: Own, coefficients: readonly number[]): Tensor | undefined => {
  let sum: Tensor | undefined;
  for (const [gradient, weight] of zip(gradients, coefficients)) {
    if (gradient === undefined) continue;
    if (sum === undefined) sum = weight === 1 ? gradient : gradient.mul(weight);
    else ops.add_(sum, gradient, { alpha: weight });
  }
  return sum;
};

/**
 * The backward pass of a step, objective by objective, so that what each asks of the shared weights is known.
 *
 * Gradients of the step are the same as in one pass, to rounding, but for what is projected. It costs no further backward
 * passes, but passes of one objective each, and memory for a float32 gradient of the shared weights for every objective.
 *
 * @param pass runs forward and backward over some of the rows, adding to the parameters' gradients, which are empty now
 * @returns `conflict/<a>~<b>`, the cosine over all shared weights, and `conflict/<a>~<b>/layer_<nn>` by layer, where
 *   measured; `conflict/projections` of the step where conflicts are projected
 */
export const passByObjective = (
  rows: readonly TaskRow[],
  parameters: readonly Parameter[],
  pass: (rows: readonly TaskRow[]) => void,
  { forwardWithoutGrad, project, random }: { forwardWithoutGrad: boolean; project: boolean; random: Random },
): Metrics => {
  const names = [...new Set(rows.map(({ objective }) => objective ?? ""))].sort();
  const shared = parameters.filter(isShared);
  const gradients = new Map(shared.map((parameter): [Parameter, Own] => [parameter, []]));
  try {
    for (const [k, name] of names.entries()) {
      pass(rows.filter(({ objective }) => (objective ?? "") === name));
      for (const [parameter, ofObjectives] of gradients) {
        const { gradient } = parameter;
        ofObjectives[k] = gradient === null ? undefined : keep(gradient);
        parameter.clearGradient();
      }
    }
    const zeros: Gram = names.map(() => names.map(() => 0));
    const parts = new Map<string, Gram>();
    for (const [parameter, ofObjectives] of gradients)
      parts.set(partOf(parameter), plus(parts.get(partOf(parameter)) ?? zeros, gramOf(ofObjectives)));
    const whole = [...parts.values()].reduce<Gram>(plus, zeros);
    const metrics: Metrics = {};
    const add = (gram: Gram, suffix: string): void => {
      for (const [pair, cosine] of Object.entries(cosines(gram, names)))
        metrics[`conflict/${pair}${suffix}`] = cosine;
    };
    if (forwardWithoutGrad) {
      add(whole, "");
      for (const [part, gram] of [...parts].sort(([a], [b]) => (a < b ? -1 : 1))) add(gram, `/${part}`);
    }
    const projected = project ? projectConflicts(whole, random) : undefined;
    if (projected !== undefined) metrics["conflict/projections"] = projected.projections;
    const coefficients = projected?.coefficients ?? names.map(() => 1);
    noGrad(() => {
      for (const [parameter, ofObjectives] of gradients) {
        scope(() => {
          const sum = combined(ofObjectives, coefficients);
          if (sum !== undefined) parameter.accumulate(sum);
        });
      }
    });
    return metrics;
  } finally {
    for (const gradient of gradients.values()) for (const tensor of gradient) tensor?.dispose();
  }
};
