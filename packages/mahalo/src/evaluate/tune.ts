/** Solving for the mix: which measured weights reach targets and are best on another objective, and how sure that is. */
import { MahaloError } from "@mahalo/torch";
import { element } from "../core/need.ts";
import { didYouMean } from "../core/suggest.ts";
import { weightIn } from "../model/heads/mix-weight.ts";
import type { Estimate } from "./intervals.ts";
import type { SweepMix } from "./mixes.ts";
import type { SweepPoint } from "./results.ts";

/** A result that an objective must reach. */
export type Target = { objective: string; atLeast: number };

/** What a mix is expected to give: measured, or between two measured mixes. */
export type TunedMix = {
  mix: SweepMix;
  results: Record<string, Pick<Estimate, "mean" | "low" | "high">>;
  /** Labels of the measured mixes that it stands on: one, or the two that it lies between. */
  between: string[];
};

/** What {@link tune} found. */
export type Tuned = {
  /** Whether some mix reaches every target on average. */
  reached: boolean;
  /** The best mix that does; the one that comes nearest where none does. */
  best: TunedMix;
  /** Whether even the low ends of its intervals reach every target. */
  sure: boolean;
  /** Targets that `best` misses on average, and by how much. */
  missed: { objective: string; by: number }[];
  /** The best mix whose low ends reach every target; undefined where there is none. */
  cautious: TunedMix | undefined;
};

/**
 * Reads `accuracy>=0.6`; a value with % is a hundredth.
 *
 * @throws MahaloError E_TUNE
 */
export const parseTarget = (text: string): Target => {
  const [, objective, value, percent] =
    /^\s*([A-Za-z][\w-]*)\s*>=\s*(-?[\d.]+(?:e-?\d+)?)\s*(%?)\s*$/.exec(text) ?? [];
  const atLeast = Number(value) / (percent === "%" ? 100 : 1);
  if (objective === undefined || value === undefined || Number.isNaN(atLeast)) {
    throw new MahaloError("E_TUNE", `target: "${text}" is not of the form objective>=value`, {
      hint: 'for example --target "accuracy>=0.6"',
    });
  }
  return { objective, atLeast };
};

const steps = 20;

const between = (a: SweepPoint, b: SweepPoint, share: number): TunedMix => {
  const along = (x: number, y: number): number => (1 - share) * x + share * y;
  const names = Object.keys(a.mix ?? {});
  const mix = names.map((name) => [
    name,
    Number(along(weightIn(a.mix, name), weightIn(b.mix, name)).toFixed(6)),
  ]);
  const results = Object.entries(a.results).flatMap(([name, result]) => {
    const other = b.results[name];
    if (other === undefined) return [];
    const blend = (key: "mean" | "low" | "high") => along(result[key], other[key]);
    return [[name, { mean: blend("mean"), low: blend("low"), high: blend("high") }] as const];
  });
  return { mix: Object.fromEntries(mix), results: Object.fromEntries(results), between: [a.label, b.label] };
};

/** Points with weights of two objectives in the order of the first one's weight, else as they are. */
const measured = (points: readonly SweepPoint[]): SweepPoint[] => {
  const mixes = points.filter(({ mix }) => mix !== undefined);
  const [first = ""] = Object.keys(mixes[0]?.mix ?? {});
  return mixes.toSorted((a, b) => weightIn(a.mix, first) - weightIn(b.mix, first));
};

/** Measured mixes, and with two objectives mixes between neighbours, whose results are taken to lie on the line. */
const candidates = (points: readonly SweepPoint[]): TunedMix[] => {
  const all = measured(points);
  const measuredMixes = all.map(
    ({ mix = {}, label, results }): TunedMix => ({ mix, results, between: [label] }),
  );
  if (Object.keys(all[0]?.mix ?? {}).length !== 2) return measuredMixes;
  const inside = all
    .slice(1)
    .flatMap((point, index) =>
      Array.from({ length: steps - 1 }, (_, step) => between(element(all, index), point, (step + 1) / steps)),
    );
  return [...measuredMixes, ...inside];
};

const resultOf = ({ results }: TunedMix, objective: string, end: "mean" | "low"): number =>
  results[objective]?.[end] ?? Number.NEGATIVE_INFINITY;

/**
 * The mix that is best on one objective among those that reach the targets on average.
 *
 * With two objectives, mixes between two measured neighbours count too, their results (and intervals) read off the line
 * between them; with more, measured mixes alone. A result between measured ones is a guess that wants measuring.
 *
 * @param points of a sweep, with their intervals
 * @throws MahaloError E_TUNE for objectives without results, or a sweep without mixes
 *
 * @example tune(results.sweep.points, [parseTarget("accuracy>=0.6")], "engagement").best.mix // { accuracy: 0.6, ... }
 */
export const tune = (points: readonly SweepPoint[], targets: readonly Target[], maximize: string): Tuned => {
  const all = candidates(points);
  const [first] = all;
  if (first === undefined) {
    throw new MahaloError("E_TUNE", "the results have no sweep of mixes to choose from", {
      hint: "run a recipe whose model has heads, with evaluate.mixes and judges",
    });
  }
  const names = Object.keys(first.results);
  for (const name of [maximize, ...targets.map(({ objective }) => objective)]) {
    if (names.includes(name)) continue;
    throw new MahaloError("E_TUNE", `no results of objective "${name}"`, {
      hint: didYouMean(name, names) || `there are ${names.join(", ")}`,
    });
  }
  const reaches = (tuned: TunedMix, end: "mean" | "low"): boolean =>
    targets.every(({ objective, atLeast }) => resultOf(tuned, objective, end) >= atLeast - 1e-12);
  const bestOf = (some: readonly TunedMix[]): TunedMix | undefined =>
    some.reduce<TunedMix | undefined>(
      (best, candidate) =>
        best === undefined || resultOf(candidate, maximize, "mean") > resultOf(best, maximize, "mean") + 1e-12
          ? candidate
          : best,
      undefined,
    );
  const shortfall = (tuned: TunedMix): number =>
    targets.reduce(
      (sum, { objective, atLeast }) => sum + Math.max(0, atLeast - resultOf(tuned, objective, "mean")),
      0,
    );
  const reaching = bestOf(all.filter((candidate) => reaches(candidate, "mean")));
  const best =
    reaching ??
    all.reduce(
      (near, candidate) => (shortfall(candidate) < shortfall(near) - 1e-12 ? candidate : near),
      first,
    );
  return {
    reached: reaching !== undefined,
    best,
    sure: reaches(best, "low"),
    missed: targets.flatMap(({ objective, atLeast }) => {
      const by = atLeast - resultOf(best, objective, "mean");
      return by > 1e-12 ? [{ objective, by }] : [];
    }),
    cautious: bestOf(all.filter((candidate) => reaches(candidate, "low"))),
  };
};
