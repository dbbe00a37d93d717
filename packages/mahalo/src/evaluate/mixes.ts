/** The mixes of a sweep: weight vectors spread evenly between the objectives. */
import { MahaloError } from "@mahalo/torch";
import { zip } from "../core/need.ts";

/** Weight of each objective, not negative, summing to 1. */
export type SweepMix = Record<string, number>;

/** A mix as people write it on the command line: `accuracy=0.75,engagement=0.25`. */
export const formatMix = (mix: SweepMix): string =>
  Object.entries(mix)
    .map(([objective, weight]) => `${objective}=${Number(weight.toFixed(4))}`)
    .join(",");

/** All ways to share `parts` equal parts among `count` places; the first place counts down from all of them. */
const compositions = (parts: number, count: number): number[][] =>
  count <= 1
    ? [[parts]]
    : Array.from({ length: parts + 1 }, (_, index) => parts - index).flatMap((first) =>
        compositions(parts - first, count - 1).map((rest) => [first, ...rest]),
      );

/**
 * At least `count` mixes that cover the objectives evenly, each pure objective among them.
 *
 * - One objective: the one mix there is.
 * - Two: `count` mixes from all of the first to all of the second (at least 2): for 5, the first one's weights are
 *   1, 0.75, 0.5, 0.25, 0.
 * - Three or more: the smallest grid on the simplex (weights in steps of 1/r) with at least `count` points, and the
 *   equal mix where the grid lacks it.
 *
 * @throws MahaloError E_MIXES for no objectives or a count that is no positive whole number
 */
export const mixGrid = (objectives: readonly string[], count: number): SweepMix[] => {
  if (objectives.length === 0 || !Number.isInteger(count) || count < 1) {
    throw new MahaloError(
      "E_MIXES",
      `a sweep needs objectives and at least one mix, not ${count} of ${objectives.length} objectives`,
      {
        hint: "set evaluate.mixes to a whole number, for example 5",
      },
    );
  }
  const toMix = (weights: readonly number[]): SweepMix => Object.fromEntries(zip(objectives, weights));
  if (objectives.length === 1) {
    return [toMix([1])];
  }
  let parts = objectives.length === 2 ? Math.max(1, count - 1) : 1;
  let grid = compositions(parts, objectives.length);
  while (grid.length < count) {
    parts += 1;
    grid = compositions(parts, objectives.length);
  }
  const mixes = grid.map((weights) => toMix(weights.map((weight) => weight / parts)));
  const equal = parts % objectives.length === 0 || objectives.length === 2;
  return equal ? mixes : [...mixes, toMix(objectives.map(() => 1 / objectives.length))];
};
