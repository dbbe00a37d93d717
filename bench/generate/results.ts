/** What each side of the generation bench reports, and the lines that are made of it. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { type BenchLine, benchLine, type Setting } from "../lines.ts";

const timedSchema = z.looseObject({
  /** Prompts that were answered side by side. */
  batch: z.int().positive(),
  /** New tokens of all prompts together. */
  tokens: z.int().positive(),
  /** Time from the prompts to their last tokens. */
  seconds: z.number().positive(),
  /** Time to the first token of every prompt, measured in runs of their own. */
  prompt_seconds: z.number().positive(),
  /** Share of the threads' time that the process had. */
  cpu_share: z.number().positive(),
});

/** One side's line: each prompt alone, and where a batch was asked for also so many side by side. */
export const sideSchema = z.looseObject({
  single: timedSchema,
  batched: timedSchema.optional(),
  new_tokens: z.int().positive(),
  prompts: z.int().positive(),
  /** Mean over prompts. The same on both sides, or the rows were not the same. */
  prompt_tokens: z.number().positive(),
  /** Peak of resident memory after loading, in bytes. */
  peak_memory_bytes: z.number().positive(),
  loaded_memory_bytes: z.number().positive(),
  /** Tokens of the first prompt's answer. */
  first_ids: z.array(z.int().nonnegative()).min(1),
});

/** Result of one way of answering. */
export type Timed = z.output<typeof timedSchema>;
/** Result of one side. */
export type Side = z.output<typeof sideSchema>;

/** Speed of one way of answering, in tokens a second. */
export type Rates = {
  /** New tokens over the whole time. */
  whole: number;
  /** New tokens but each prompt's first over the time after the prompts' passes. */
  decode: number;
  /** The prompts' own tokens over the time to the first new token. */
  prompt: number;
};

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/**
 * Rates of several runs of one setting: tokens over seconds, not the mean of rates.
 *
 * @throws MahaloError E_BENCH_TOKENS where decoding took no measurable time
 */
export const ratesOf = (runs: readonly Side[], way: "single" | "batched"): Rates => {
  const timed = runs.flatMap((run) => run[way] ?? []);
  const prompts = sum(runs.map((run) => run.prompts));
  const tokens = sum(timed.map((run) => run.tokens));
  const seconds = sum(timed.map((run) => run.seconds));
  const promptSeconds = sum(timed.map((run) => run.prompt_seconds));
  if (seconds <= promptSeconds) {
    throw new MahaloError("E_BENCH_TOKENS", `${tokens} tokens took no longer than the first of each prompt`, {
      hint: "raise --new-tokens, and let nothing else run",
    });
  }
  return {
    whole: tokens / seconds,
    decode: (tokens - prompts) / (seconds - promptSeconds),
    prompt: sum(runs.map((run) => run.prompts * run.prompt_tokens)) / promptSeconds,
  };
};

/** How many tokens two answers begin with alike. */
const alike = (a: readonly number[], b: readonly number[]): number => {
  const differ = a.findIndex((id, index) => id !== b[index]);
  return differ < 0 ? a.length : differ;
};

const first = (runs: readonly Side[]): Side => {
  const [run] = runs;
  if (run === undefined) throw new MahaloError("E_INTERNAL", "no runs to compare", { exitStatus: 1 });
  return run;
};

const checkSame = (against: string, ours: Side, peer: Side): void => {
  for (const field of ["prompts", "prompt_tokens", "new_tokens"] as const) {
    if (Math.abs(ours[field] - peer[field]) <= 1e-9 * ours[field]) continue;
    throw new MahaloError("E_BENCH_ROWS", `${against}: ${field} is ${peer[field]}, ours ${ours[field]}`, {
      exitStatus: 1,
    });
  }
};

/**
 * Lines of ours against one peer: for one stream and for a batch the speed in all, of decoding and of prompts; memory.
 *
 * @throws MahaloError E_BENCH_ROWS when the two sides did not do the same work
 */
export const compare = (setting: Setting, ours: readonly Side[], peer: readonly Side[]): BenchLine[] => {
  const [our, theirs] = [first(ours), first(peer)];
  checkSame(setting.against, our, theirs);
  const same = alike(our.first_ids, theirs.first_ids);
  const ways = our.batched === undefined || theirs.batched === undefined ? ["single"] : ["single", "batched"];
  const speed = (ways as ("single" | "batched")[]).flatMap((way) => {
    const share = (runs: readonly Side[]): string =>
      Math.min(...runs.flatMap((run) => run[way]?.cpu_share ?? [])).toFixed(2);
    const [a, b] = [ratesOf(ours, way), ratesOf(peer, way)];
    const data = `${setting.data}, ${way === "single" ? "one stream" : `${our.batched?.batch} side by side`}`;
    const how = `${setting.how}; first answer alike for ${same} of ${our.first_ids.length} tokens; cores had: ours ${share(ours)}, peer ${share(peer)}`;
    const line = (pair: readonly [number, number], unit: string): BenchLine =>
      benchLine("generate", { ...setting, data, how }, pair, unit);
    return [
      line([a.whole, b.whole], "tokens/s"),
      line([a.decode, b.decode], "decoded tokens/s"),
      line([a.prompt, b.prompt], "prompt tokens/s"),
    ];
  });
  const peak = (runs: readonly Side[]): number => Math.max(...runs.map((run) => run.peak_memory_bytes));
  const memory = { ...setting, how: "kernel's peak of resident memory after loading" };
  return [...speed, benchLine("generate", memory, [peak(ours), peak(peer)], "bytes")];
};
