/** Folders of invented runs, as an evaluation leaves them: results.json, the answers behind it, metrics of the training. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { wilson } from "../intervals.ts";
import { formatMix, type SweepMix } from "../mixes.ts";
import { inventedMetrics, inventedResults } from "../report/testing/fixture.ts";
import { type Results, writeResults } from "../results.ts";

/** A policy of a run: right on this share of prompts for each objective. */
export type InventedPolicy = { mix?: SweepMix; label?: string; shares: Record<string, number> };

/** What a run is like. */
export type InventedRun = {
  /** Method of align; false for a run that stops before it. */
  method: string | false;
  seed: number;
  policies: readonly InventedPolicy[];
  /** Default 40. */
  prompts?: number;
  /** Objectives whose training has metrics; default none, as of a method that trains nothing. */
  trained?: readonly string[];
};

/** Metrics of an invented alignment to these objectives. */
const metricsOf = (trained: readonly string[]): string => {
  const rows = (inventedMetrics().align ?? []).map((row) => ({
    step: row.step,
    ...Object.fromEntries(
      trained.flatMap((objective) =>
        ["rewards/margins", "rewards/accuracies"].map((name) => [
          `${objective}/${name}`,
          row[`accuracy/${name}`],
        ]),
      ),
    ),
  }));
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
};

/**
 * Writes a run's results and answers; with more right the same prompts and more are right. Answers but for those of a
 * policy `sft` have a divergence.
 *
 * @returns the run's folder
 */
export const inventRun = async (
  folder: string,
  name: string,
  { method, seed, policies, prompts = 40, trained = [] }: InventedRun,
): Promise<string> => {
  const run = join(folder, name);
  await mkdir(join(run, "evaluate"), { recursive: true });
  const all = policies.map(({ mix, label, shares }) => ({
    label: label ?? (mix === undefined ? String(method) : formatMix(mix)),
    ...(mix === undefined ? {} : { mix }),
    shares,
  }));
  const align = method === false ? "false" : `{ method: ${method}, rewards: { x: run-of-seed-${seed} } }`;
  const results: Results = {
    ...inventedResults(),
    name,
    seed,
    recipe: `name: ${name}\nseed: ${seed}\nalign: ${align}\n`,
    sweep: {
      prompts,
      decoding: {},
      points: all.map(({ shares, ...point }) => ({
        ...point,
        results: Object.fromEntries(
          Object.entries(shares).map(([key, share]) => [key, wilson(Math.round(share * prompts), prompts)]),
        ),
      })),
      steering: [],
      samples: [
        {
          prompt: [{ role: "user", content: `seed ${seed}` }],
          replies: all.map(({ label }) => ({
            label,
            response: `answer 0 of ${label}`,
            verdicts: {},
            steps: { a: [{ text: `answer 0 of ${label}`, score: 0.25 }] },
          })),
        },
      ],
    },
  };
  await writeResults(join(run, "results.json"), results);
  const lines = all.flatMap(({ label, shares }) =>
    Array.from({ length: prompts }, (_, prompt) => {
      const verdicts = Object.fromEntries(
        Object.entries(shares).map(([key, share]) => [
          key,
          { score: prompt < share * prompts ? 1 : 0, reason: "invented" },
        ]),
      );
      const kl = label === "sft" ? {} : { kl: 1 + (prompt % 2) };
      return `${JSON.stringify({ label, prompt, response: `answer ${prompt} of ${label}`, ...kl, verdicts })}\n`;
    }),
  );
  await writeFile(join(run, "evaluate", "answers.jsonl"), lines.join(""));
  if (trained.length > 0) {
    await mkdir(join(run, "align"));
    await writeFile(join(run, "align", "metrics.jsonl"), metricsOf(trained));
  }
  return run;
};
