/** What each side of the reward bench reports, and the lines that are made of it. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { type BenchLine, benchLine, type Setting } from "../lines.ts";

const measured = {
  seconds: z.number().positive(),
  /** Share of the threads' time that the process had. */
  cpu_share: z.number().positive(),
  /** Peak of resident memory after loading, in bytes. */
  peak_memory_bytes: z.number().positive(),
};

/** One side's scoring of all responses. */
export const scoredSchema = z.looseObject({
  ...measured,
  responses: z.int().positive(),
  /** Scores of all steps, response after response, in [0, 1]. */
  scores: z.array(z.number()).min(1),
});

/** One side's answers from all prefixes. */
export const rolledSchema = z.looseObject({
  ...measured,
  prefixes: z.int().positive(),
  samples: z.int().positive(),
  /** Tokens of all answers together. */
  new_tokens: z.int().positive(),
});

/** Result of scoring. */
export type Scored = z.output<typeof scoredSchema>;
/** Result of rollouts. */
export type Rolled = z.output<typeof rolledSchema>;

type Measured = Pick<Scored, "seconds" | "cpu_share" | "peak_memory_bytes">;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const first = <T>(runs: readonly T[]): T => {
  const [run] = runs;
  if (run === undefined) throw new MahaloError("E_INTERNAL", "no runs to compare", { exitStatus: 1 });
  return run;
};

const differ = (against: string, what: string, ours: number, peer: number): MahaloError =>
  new MahaloError("E_BENCH_ROWS", `${against}: ${what} is ${peer}, ours ${ours}`, { exitStatus: 1 });

const speed = (
  setting: Setting,
  [ours, peer]: readonly [readonly Measured[], readonly Measured[]],
  amount: (runs: readonly Measured[]) => number,
  unit: string,
): BenchLine[] => {
  const rate = (runs: readonly Measured[]): number => amount(runs) / sum(runs.map(({ seconds }) => seconds));
  const share = (runs: readonly Measured[]): string =>
    Math.min(...runs.map((run) => run.cpu_share)).toFixed(2);
  const peak = (runs: readonly Measured[]): number => Math.max(...runs.map((run) => run.peak_memory_bytes));
  const how = `${setting.how}; cores had: ours ${share(ours)}, peer ${share(peer)}`;
  return [
    benchLine("reward", { ...setting, how }, [rate(ours), rate(peer)], unit),
    benchLine(
      "reward",
      { ...setting, how: "kernel's peak of resident memory after loading" },
      [peak(ours), peak(peer)],
      "bytes",
    ),
  ];
};

/** Largest difference of two sides' scores that rounding explains. */
const tolerance: Record<string, number> = { f32: 1e-3, bf16: 0.1 };

/**
 * Lines of scoring: steps a second, and memory.
 *
 * @throws MahaloError E_BENCH_ROWS when the two sides did not give the same scores
 */
export const compareScored = (
  setting: Setting,
  ours: readonly Scored[],
  peer: readonly Scored[],
): BenchLine[] => {
  const [our, theirs] = [first(ours).scores, first(peer).scores];
  if (our.length !== theirs.length)
    throw differ(setting.against, "number of steps", our.length, theirs.length);
  const apart = our.reduce(
    (most, score, index) => Math.max(most, Math.abs(score - (theirs[index] ?? Infinity))),
    0,
  );
  if (!(apart <= (tolerance[setting.dtype] ?? 0)))
    throw differ(setting.against, "largest difference of scores", 0, apart);
  const how = `${setting.how}; scores differ by ${apart.toPrecision(2)} at most`;
  return speed({ ...setting, how }, [ours, peer], (runs) => runs.length * our.length, "steps/s");
};

/**
 * Lines of rollouts: sampled tokens a second, and memory.
 *
 * @throws MahaloError E_BENCH_ROWS when the two sides did not do the same work
 */
export const compareRolled = (
  setting: Setting,
  ours: readonly Rolled[],
  peer: readonly Rolled[],
): BenchLine[] => {
  const [our, theirs] = [first(ours), first(peer)];
  for (const field of ["prefixes", "samples", "new_tokens"] as const) {
    if (our[field] !== theirs[field]) throw differ(setting.against, field, our[field], theirs[field]);
  }
  return speed(setting, [ours, peer], (runs) => runs.length * our.new_tokens, "sampled tokens/s");
};
