/** Claim (d): what guidance adds to MAH-DPO, and whether guiding SFT would have been enough. */
import { join } from "node:path";
import { checkValue } from "../../packages/mahalo/src/core/json.ts";
import { readRows } from "../../packages/mahalo/src/data/rows/read-rows.ts";
import { type GuidedScores, guidedScoresSchema } from "../../packages/mahalo/src/evaluate/guidance.ts";
import { findingOf, meansAt, type PolicyScores, type Rule } from "./claims.ts";
import { type Finding, type Verdict, verdict } from "./verdict.ts";

/** Scores of what the guide stage of a run measured. @throws MahaloError E_FILE_READ, E_RESULTS */
export const readGuided = async (run: string): Promise<GuidedScores[]> => {
  const path = join(run, "guide", "scores.jsonl");
  const measured: GuidedScores[] = [];
  for await (const { value, origin } of readRows(path))
    measured.push(
      checkValue(value, guidedScoresSchema, `${path}:${origin.line}`, {
        code: "E_RESULTS",
        hint: "run the guide stage again to write it in this version's format",
      }),
    );
  return measured;
};

type Weights = Readonly<Record<string, number>>;

/** How far weights are from equal ones over as many names as any has. */
const unevenness = (weights: Weights | undefined, names: number): number => {
  const values = Object.values(weights ?? {});
  const sum = values.reduce((total, value) => total + value, 0);
  if (sum === 0) return 0;
  const zeros = Array.from({ length: Math.max(0, names - values.length) }, () => 0);
  return [...values, ...zeros].reduce((total, value) => total + (value / sum - 1 / names) ** 2, 0);
};

const namesIn = (all: readonly (Weights | undefined)[]): number =>
  new Set(all.flatMap((weights) => Object.keys(weights ?? {}))).size;

/** The points that the claim compares; each undefined where it was not measured. */
export type GuidedPoints = Record<"guided" | "unguided" | "guidedSft", PolicyScores | undefined>;

/**
 * Picks of every seed's points the aligned model's most even mix under the most even guidance and under none, and SFT under
 * the same guidance.
 *
 * @param seeds points by seed, in order
 */
export const guidedPoints = (seeds: readonly (readonly GuidedScores[])[]): GuidedPoints => {
  const [first = []] = seeds;
  const guides = namesIn(first.map(({ guidance }) => guidance));
  const heads = namesIn(first.map(({ mix }) => mix));
  const even = (policy: string, guided: boolean): GuidedScores | undefined =>
    first
      .filter((measured) => measured.policy === policy && (measured.guidance !== undefined) === guided)
      .toSorted(
        (a, b) =>
          unevenness(a.mix, heads) - unevenness(b.mix, heads) ||
          unevenness(a.guidance, guides) - unevenness(b.guidance, guides),
      )[0];
  const key = ({ policy, mix, guidance }: GuidedScores): string => JSON.stringify([policy, mix, guidance]);
  const overSeeds = (measured: GuidedScores | undefined, label: string): PolicyScores | undefined => {
    if (measured === undefined) return undefined;
    const same = seeds.flatMap((points) => points.find((point) => key(point) === key(measured)) ?? []);
    if (same.length < seeds.length) return undefined;
    const scores = Object.keys(measured.scores).map((name) => [
      name,
      same.map((point) => point.scores[name] ?? []),
    ]);
    return { label, scores: Object.fromEntries(scores) };
  };
  return {
    guided: overSeeds(even("aligned", true), "guided MAH-DPO"),
    unguided: overSeeds(even("aligned", false), "MAH-DPO"),
    guidedSft: overSeeds(even("sft", true), "guided SFT"),
  };
};

/**
 * Claim (d), by the mean over objectives M(p) = mean_k m_k(p), at the most even mix and guidance:
 *
 * - guidance adds: M(guided MAH-DPO) - M(MAH-DPO) lies above 0;
 * - it does not replace: M(guided MAH-DPO) - M(guided SFT) lies above 0.
 */
export const guidanceAdds = ({ guided, unguided, guidedSft }: GuidedPoints, rule: Rule): Verdict => {
  const { objectives } = rule;
  const over = (other: PolicyScores | undefined): Finding | undefined => {
    if (guided === undefined || other === undefined) return undefined;
    return findingOf(
      "d",
      `mean of objectives: ${guided.label} - ${other.label}`,
      [guided, other],
      (draws) => {
        const [a, b] = [guided, other].map((policy) => meansAt(policy, objectives, draws));
        if (a === undefined || b === undefined) return undefined;
        return a.reduce((sum, value, index) => sum + value - (b[index] ?? 0), 0) / objectives.length;
      },
      0,
      rule,
    );
  };
  const missing = Object.entries({ guided, unguided, guidedSft }).flatMap(([name, policy]) =>
    policy === undefined ? [name] : [],
  );
  const notes = missing.length === 0 ? [] : [`not measured: ${missing.join(", ")}`];
  return verdict("d", [over(unguided), over(guidedSft)], notes);
};
