/** What each side of the decoding bench reports, and the lines that are made of it. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { type BenchLine, benchLine, type Setting } from "../lines.ts";

/** One side's answers: timed as a whole, and what their prompts alone took. */
export const sideSchema = z.looseObject({
  /** New tokens of all answers; of a search, those of all candidates. */
  tokens: z.int().positive(),
  /** Time from the prompts to their last tokens. */
  seconds: z.number().positive(),
  /** Time to the first token of every answer, measured in runs of their own; 0 where that was not measured. */
  prompt_seconds: z.number().nonnegative(),
  /** Answers. The same on both sides, and so are their prompts' tokens, or the rows were not the same. */
  prompts: z.int().positive(),
  prompt_tokens: z.int().positive(),
  /** Share of the threads' time that the process had. */
  cpu_share: z.number().positive(),
  /** Tokens of the first answer. */
  first_ids: z.array(z.int().nonnegative()).min(1),
});

/** Result of one side. */
export type Side = z.output<typeof sideSchema>;

/** Two ways of one process, alternating. */
export const pairSchema = z.strictObject({ one: sideSchema, mix: sideSchema });

/** One stream beside what reading its weights costs at least. */
export const bandwidthSchema = z.strictObject({
  side: sideSchema,
  /** Bytes of weights that a token's step reads. */
  bytes: z.number().positive(),
  /** Bytes a second that this machine's threads read, from memory far larger than its caches. */
  bytes_per_second: z.number().positive(),
});

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Several runs of one side as one, times and tokens added. */
export const pool = (runs: readonly Side[]): Side => {
  const [first] = runs;
  if (first === undefined) throw new MahaloError("E_INTERNAL", "no runs to compare", { exitStatus: 1 });
  const total = (field: "tokens" | "seconds" | "prompt_seconds" | "prompts" | "prompt_tokens"): number =>
    sum(runs.map((run) => run[field]));
  return {
    ...first,
    tokens: total("tokens"),
    seconds: total("seconds"),
    prompt_seconds: total("prompt_seconds"),
    prompts: total("prompts"),
    prompt_tokens: total("prompt_tokens"),
    cpu_share: Math.min(...runs.map((run) => run.cpu_share)),
  };
};

/** Tokens a second, prompts included. */
export const wholeRate = ({ tokens, seconds }: Side): number => tokens / seconds;

/**
 * Tokens a second after each answer's first, without the time to it.
 *
 * @throws MahaloError E_BENCH_TOKENS where decoding took no measurable time
 */
export const decodeRate = ({ tokens, prompts, seconds, prompt_seconds }: Side): number => {
  if (seconds > prompt_seconds) return (tokens - prompts) / (seconds - prompt_seconds);
  throw new MahaloError("E_BENCH_TOKENS", `${tokens} tokens took no longer than the first of each prompt`, {
    hint: "raise --new-tokens, and let nothing else run",
  });
};

/** How many tokens two answers begin with alike. */
const alike = (a: readonly number[], b: readonly number[]): number => {
  const differ = a.findIndex((id, index) => id !== b[index]);
  return differ < 0 ? a.length : differ;
};

const checkSame = (against: string, ours: Side, peer: Side, fields: readonly (keyof Side)[]): void => {
  for (const field of fields) {
    if (ours[field] === peer[field]) continue;
    throw new MahaloError("E_BENCH_ROWS", `${against}: ${field} is ${peer[field]}, ours ${ours[field]}`, {
      exitStatus: 1,
    });
  }
};

const shares = (ours: Side, peer: Side): string =>
  `cores had: ours ${ours.cpu_share.toFixed(2)}, peer ${peer.cpu_share.toFixed(2)}`;

/**
 * Lines of greedy answers: tokens a second in all, and of decoding alone.
 *
 * @throws MahaloError E_BENCH_ROWS when the two sides did not do the same work
 */
export const compareAnswers = (
  setting: Setting,
  ours: readonly Side[],
  peer: readonly Side[],
): BenchLine[] => {
  const [our, theirs] = [pool(ours), pool(peer)];
  checkSame(setting.against, our, theirs, ["tokens", "prompts", "prompt_tokens"]);
  const same = alike(our.first_ids, theirs.first_ids);
  const how = `${setting.how}; first answer alike for ${same} of ${our.first_ids.length} tokens; ${shares(our, theirs)}`;
  return [
    benchLine("decode", { ...setting, how }, [wholeRate(our), wholeRate(theirs)], "tokens/s"),
    benchLine("decode", { ...setting, how }, [decodeRate(our), decodeRate(theirs)], "decoded tokens/s"),
  ];
};

/** Line of a mix of heads against one head: seconds a decoded token, of which less is better. */
export const compareHeads = (setting: Setting, runs: readonly z.output<typeof pairSchema>[]): BenchLine[] => {
  const [mix, single] = [pool(runs.map((run) => run.mix)), pool(runs.map((run) => run.one))];
  checkSame(setting.against, mix, single, ["tokens", "prompts", "prompt_tokens"]);
  const how = `${setting.how}; ${shares(mix, single)}`;
  return [
    benchLine(
      "decode",
      { ...setting, how },
      [1 / decodeRate(mix), 1 / decodeRate(single)],
      "s/decoded token",
    ),
  ];
};

/** Line of searches: tokens of all candidates a second, their scoring included; sampled texts need not be alike. */
export const compareSearches = (
  setting: Setting,
  ours: readonly Side[],
  peer: readonly Side[],
): BenchLine[] => {
  const [our, theirs] = [pool(ours), pool(peer)];
  checkSame(setting.against, our, theirs, ["prompts", "prompt_tokens"]);
  const count = (side: Side): string => `${side.tokens} in ${side.seconds.toFixed(1)} s`;
  const how = `${setting.how}; ours ${count(our)}, peer ${count(theirs)}; ${shares(our, theirs)}`;
  return [
    benchLine("decode", { ...setting, how }, [wholeRate(our), wholeRate(theirs)], "candidate tokens/s"),
  ];
};

/** Line of the share of the memory limit: bytes of weights a second that decoding reads, over those the machine reads. */
export const compareBandwidth = (
  setting: Setting,
  runs: readonly z.output<typeof bandwidthSchema>[],
): BenchLine[] => {
  const side = pool(runs.map((run) => run.side));
  const bytes = Math.max(...runs.map((run) => run.bytes));
  const limit = Math.max(...runs.map((run) => run.bytes_per_second));
  const how = `${setting.how}; ${(bytes / 1e6).toFixed(1)} MB of weights a token; cores had ${side.cpu_share.toFixed(2)}`;
  return [benchLine("decode", { ...setting, how }, [decodeRate(side) * bytes, limit], "bytes/s")];
};
