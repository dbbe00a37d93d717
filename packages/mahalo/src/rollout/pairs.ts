/** Preference pairs out of rollouts; every pair keeps where its two answers came from. */
import { z } from "zod";
import { append } from "../core/append.ts";
import { checkValue } from "../core/json.ts";
import { mean } from "../core/mean.ts";
import { element, need } from "../core/need.ts";
import { rng } from "../core/random.ts";
import { type Origin, Problems } from "../data/rows/problems.ts";
import { type PreferenceRow, promptKey } from "../data/rows/rows.ts";
import type { RolloutRow } from "./file.ts";
import { choosePairs, pairOptionsSchema, type ScoredSample } from "./scored-pairs.ts";
import { answerText } from "./text.ts";

/** How pairs are made out of rollouts. */
export const rolloutPairsSchema = pairOptionsSchema.extend({
  cut: z
    .boolean()
    .default(false)
    .describe("Whether answers that were cut off at the length limit may be in a pair."),
});

/** Checked options of {@link pairsFromRollouts}. */
export type RolloutPairOptions = z.output<typeof rolloutPairsSchema>;

/** Options as a caller gives them. */
export type RolloutPairOptionsInput = z.input<typeof rolloutPairsSchema>;

/** Options with defaults filled in. @throws MahaloError E_PAIRS naming the field */
export const rolloutPairOptionsOf = (input: RolloutPairOptionsInput = {}): RolloutPairOptions =>
  checkValue(input, rolloutPairsSchema, "pairs", { code: "E_PAIRS" });

/** Where an answer of a pair stands in the file of rollouts. */
export type SamplePlace = {
  /** Line of the file of rollouts, counting from 1. */
  line: number;
  /** Steps of the recorded response that it goes on from. */
  from: number;
  /** Its number among those from the same prefix; `recorded` for the data's own response. */
  sample: number | "recorded";
  score: number;
};

/** A made pair, with where it came from. */
export type MadePair = PreferenceRow & {
  judge: string;
  samples: { chosen: SamplePlace; rejected: SamplePlace };
};

type Sample = ScoredSample & { place: Omit<SamplePlace, "score"> };
type Group = { row: RolloutRow; origin: Origin; samples: Sample[] };

/** The answers of a row: a dialogue's turn with the mean of its replies' scores, or every whole answer with its own. */
const samplesOf = (row: RolloutRow, line: number, cut: boolean): { samples: Sample[]; cut: number } => {
  if (row.kind === "interactive") {
    const scores = row.rollouts.flatMap((rollout) => rollout.score ?? []);
    const score = scores.length === 0 ? null : mean(scores);
    const text = row.steps.join("");
    return { samples: [{ text, score, place: { line, from: 1, sample: "recorded" } }], cut: 0 };
  }
  const limits = ["length", "context"];
  const whole = cut ? row.rollouts : row.rollouts.filter(({ finish }) => !limits.includes(finish));
  const samples = whole.flatMap((rollout): Sample[] => {
    const text = answerText(row, rollout);
    if (text.trim() === "") return [];
    const sample = rollout.finish === "recorded" ? "recorded" : rollout.sample;
    return [{ text, score: rollout.score, place: { line, from: rollout.from, sample } }];
  });
  return { samples, cut: row.rollouts.length - whole.length };
};

/**
 * Makes preference pairs out of the whole answers that rollouts came to.
 *
 * Answers of the same prompt and objective are compared, whatever line they stand on. Which correct answer meets which
 * incorrect one is drawn by the seed and the prompt alone.
 *
 * @param options as {@link rolloutPairOptionsOf} makes them
 * @param problems where prompts that give no pair are counted, and answers that were cut
 */
export const pairsFromRollouts = (
  rows: readonly RolloutRow[],
  options: RolloutPairOptions,
  { seed = 0, problems = new Problems() }: { seed?: number; problems?: Problems } = {},
): MadePair[] => {
  const step = problems.step("pairs");
  const groups = new Map<string, Group>();
  let cut = 0;
  for (const [index, row] of rows.entries()) {
    step.see(row);
    const key = JSON.stringify([row.objective, promptKey(row.prompt)]);
    const sampled = samplesOf(row, index + 1, options.cut);
    cut += sampled.cut;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { row, origin: row.origin, samples: sampled.samples });
    else append(group.samples, sampled.samples);
  }
  if (cut > 0) step.skip("answers that ended at their length limit", cut);
  return [...groups].flatMap(([key, { row, origin, samples }]): MadePair[] => {
    const chosen = choosePairs(samples, options, rng(seed, "pairs", key));
    if (chosen.length === 0) step.skip("no two answers of a prompt differ enough in score");
    const sampleAt = (index: number): { text: string; place: SamplePlace } => {
      const { text, score, place } = element(samples, index, "sample");
      return { text, place: { ...place, score: need(score ?? undefined, "a chosen answer's score") } };
    };
    return chosen.map((pair) => {
      const [better, worse] = [sampleAt(pair.chosen), sampleAt(pair.rejected)];
      return {
        objective: row.objective,
        prompt: row.prompt,
        chosen: better.text,
        rejected: worse.text,
        judge: row.judge,
        samples: { chosen: better.place, rejected: worse.place },
        origin,
      };
    });
  });
};

/** A made pair as a line of a file: TRL's preference form with `objective` and where it comes from. */
export const pairLine = ({ origin, ...pair }: MadePair) => ({ ...pair, source: origin });
