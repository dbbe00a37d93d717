/** Fronts of several objectives: what no other point beats, the volume it encloses, and how sets of points compare. */
import { MahaloError } from "@mahalo/torch";
import { element, zip } from "../core/need.ts";

/** Results of one policy, an objective a place; more is better. */
export type FrontPoint = readonly number[];

/** Whether `a` is at least as good as `b` on every objective. */
const covers = (a: FrontPoint, b: FrontPoint): boolean => zip(a, b).every(([value, other]) => value >= other);

/**
 * Whether `a` is at least as good as `b` everywhere and better somewhere.
 *
 * @example dominates([0.5, 0.7], [0.5, 0.6]) // true
 */
export const dominates = (a: FrontPoint, b: FrontPoint): boolean =>
  covers(a, b) && zip(a, b).some(([value, other]) => value > other);

/**
 * The places of the points that no other one dominates, in their order; of equal points all.
 *
 * @example frontOf([[0.9, 0.1], [0.5, 0.5], [0.4, 0.4]]) // [0, 1]
 */
export const frontOf = (points: readonly FrontPoint[]): number[] =>
  points.flatMap((point, index) => (points.some((other) => dominates(other, point)) ? [] : [index]));

/** The volume under points that lie above 0 everywhere, by slices along the last objective. */
const sliced = (points: readonly FrontPoint[], objectives: number): number => {
  if (points.length === 0) return 0;
  if (objectives === 1) return Math.max(...points.map((point) => element(point, 0)));
  const last = objectives - 1;
  const sorted = points.toSorted((a, b) => element(b, last) - element(a, last));
  const heights = [...sorted.map((point) => element(point, last)), 0];
  let volume = 0;
  for (let index = 0; index < sorted.length; index++) {
    const depth = element(heights, index) - element(heights, index + 1);
    if (depth > 0) volume += depth * sliced(sorted.slice(0, index + 1), last);
  }
  return volume;
};

/**
 * Volume of what the points dominate above a reference point, exactly, for any number of objectives.
 *
 * A point that is not above the reference on every objective adds nothing. Source: Zitzler and Thiele 1998; by slices as
 * in While et al. 2006.
 *
 * @throws MahaloError E_FRONT for points of another number of objectives than the reference, or that are not finite
 *
 * @example hypervolume([[2, 1], [1, 2]], [0, 0]) // 3
 */
export const hypervolume = (points: readonly FrontPoint[], reference: FrontPoint): number => {
  for (const point of [...points, reference]) {
    if (point.length === reference.length && point.length > 0 && point.every(Number.isFinite)) continue;
    throw new MahaloError(
      "E_FRONT",
      `a point (${point.join(", ")}) does not fit the reference (${reference.join(", ")})`,
      { exitStatus: 1 },
    );
  }
  const above = points
    .map((point) => zip(point, reference).map(([value, zero]) => value - zero))
    .filter((point) => point.every((value) => value > 0));
  return sliced(above, reference.length);
};

/**
 * The share of the points of `b` that some point of `a` is at least as good as everywhere. Not symmetric; 0 for no `b`.
 *
 * Source: Zitzler and Thiele 1998 (coverage of two sets).
 *
 * @example coverage([[1, 1]], [[1, 1], [2, 0]]) // 0.5
 */
export const coverage = (a: readonly FrontPoint[], b: readonly FrontPoint[]): number =>
  b.length === 0 ? 0 : b.filter((point) => a.some((other) => covers(other, point))).length / b.length;

/**
 * By how much a point falls short of the best result known of each objective: best_k - point_k, at least 0.
 *
 * @param best for example what models that were aligned to one objective alone reach
 *
 * @example regrets([0.5, 0.75], [1, 0.5]) // [0.5, 0]
 */
export const regrets = (point: FrontPoint, best: FrontPoint): number[] =>
  zip(best, point).map(([value, reached]) => Math.max(0, value - reached));

/**
 * The least that must be given up: over all points, the smallest of their largest regrets; infinite for no points.
 *
 * @example leastRegret([[1, 0], [0.75, 0.75]], [1, 1]) // 0.25
 */
export const leastRegret = (points: readonly FrontPoint[], best: FrontPoint): number =>
  points.reduce(
    (least, point) => Math.min(least, Math.max(...regrets(point, best))),
    Number.POSITIVE_INFINITY,
  );

/**
 * Interference: what training on objective i did to objective j, result after less result before; [i][j]. Below 0 beside
 * the diagonal, j fell while i was trained.
 *
 * @param after by objective trained on, the results of all objectives
 *
 * @example interference([0.5, 0.5], [[0.75, 0.25], [0.5, 1]]) // [[0.25, -0.25], [0, 0.5]]
 */
export const interference = (before: FrontPoint, after: readonly FrontPoint[]): number[][] =>
  after.map((point) => zip(point, before).map(([value, other]) => value - other));
