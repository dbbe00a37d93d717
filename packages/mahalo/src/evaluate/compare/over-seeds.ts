/** A method's policies over its seeds: which of them every seed has, what they scored, and which groups compare. */
import { need } from "../../core/need.ts";
import type { PolicyAnswers, RunGroup, RunPart } from "./compared-runs.ts";
import type { SeedScores } from "./seeds.ts";

/** One policy's answers over its group's seeds. */
export type OverSeeds = { label: string; mix: PolicyAnswers["mix"]; bySeed: PolicyAnswers[] };

/** Policies that every seed of the group has. */
export const policiesOf = ({ parts }: RunGroup): OverSeeds[] =>
  parts
    .slice(0, 1)
    .flatMap(({ policies }) => policies)
    .flatMap(({ label, mix }) => {
      const bySeed = parts.flatMap(({ policies }) => policies.find((policy) => policy.label === label) ?? []);
      return bySeed.length === parts.length ? [{ label, mix, bySeed }] : [];
    });

/** Scores of one seed's answers on one objective, by prompt. */
export function scoresIn({ scores }: PolicyAnswers, objective: string): readonly (number | null)[] {
  return need(scores[objective], `scores on ${objective}`);
}

/** Scores on one objective, by seed and prompt. */
export const scoresOf = ({ bySeed }: OverSeeds, objective: string): SeedScores =>
  bySeed.map((part) => scoresIn(part, objective));

/** A group restricted to some seeds, in their order. */
export const onSeeds = ({ name, parts }: RunGroup, seeds: readonly number[]): RunGroup => ({
  name,
  parts: seeds.flatMap((seed) => parts.find((part) => part.seed === seed) ?? []),
});

/** Two groups restricted to the seeds that both have. */
export const onSharedSeeds = (a: RunGroup, b: RunGroup): [RunGroup, RunGroup] => {
  const shared = a.parts.map(({ seed }) => seed).filter((seed) => b.parts.some((part) => part.seed === seed));
  return [onSeeds(a, shared), onSeeds(b, shared)];
};

/** Whether both sides answered the same prompts, so that they can be compared prompt by prompt. */
export const samePrompts = (a: readonly RunPart[], b: readonly RunPart[]): boolean =>
  a.length > 0 && a.length === b.length && a.every(({ asked }, index) => asked === b[index]?.asked);
