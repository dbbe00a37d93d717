/** What each side of the training bench reports, and the lines that are made of it. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { type BenchLine, benchLine, type Setting } from "../lines.ts";

const common = z.looseObject({
  pairs_per_second: z.number().positive(),
  /** Time of the timed steps. */
  seconds: z.number().positive(),
  pairs: z.int().positive(),
  /** Prompt, chosen, prompt, rejected; the mean over pairs. The same on both sides, or the rows were not the same. */
  tokens_per_pair: z.number().positive(),
  /** Peak of resident memory after loading, in bytes. */
  peak_memory_bytes: z.number().positive(),
  loaded_memory_bytes: z.number().positive(),
  /** Share of the threads' time that the process had. */
  cpu_share: z.number().positive(),
  loss: z.number(),
});

/** A peer's line. */
export const peerSchema = common.extend({ reference_seconds: z.number().optional() });

/** Our child's line. */
export const oursSchema = common.extend({
  /** One no-gradient pass over all pairs. */
  reference_seconds: z.number().positive(),
  /** Tokens computed, the prompt once. */
  packed_tokens_per_pair: z.number().positive(),
  response_tokens_per_pair: z.number().positive(),
  /** Useful floating-point operations of a pair. */
  flops_per_pair: z.number().positive(),
  /** Measured rate of 1024 x 1024 x 1024 products, a second. */
  gemm_cube: z.number().positive(),
  /** Measured rate of the model's own products, a second. */
  gemm_model: z.number().positive(),
});

/** Result of a peer. */
export type PeerResult = z.output<typeof peerSchema>;
/** Result of ours. */
export type OursResult = z.output<typeof oursSchema>;

/** Several runs of one setting as one: pairs over seconds, the largest peak, the smallest share of the cores. */
export const pool = <R extends PeerResult>(runs: readonly R[]): R => {
  const [first] = runs;
  if (first === undefined) throw new MahaloError("E_INTERNAL", "no runs to pool", { exitStatus: 1 });
  const sum = (of: (run: R) => number): number => runs.reduce((total, run) => total + of(run), 0);
  const pairs = sum((run) => run.pairs);
  const seconds = sum((run) => run.seconds);
  return {
    ...first,
    pairs,
    seconds,
    pairs_per_second: pairs / seconds,
    peak_memory_bytes: Math.max(...runs.map((run) => run.peak_memory_bytes)),
    cpu_share: Math.min(...runs.map((run) => run.cpu_share)),
  };
};

/**
 * Lines of ours against one peer: speed and peak memory.
 *
 * @throws MahaloError E_BENCH_ROWS when the two sides did not train on the same number of tokens
 */
export const compare = (setting: Setting, ours: OursResult, peer: PeerResult): BenchLine[] => {
  if (Math.abs(ours.tokens_per_pair - peer.tokens_per_pair) > 1e-9 * ours.tokens_per_pair) {
    throw new MahaloError(
      "E_BENCH_ROWS",
      `${setting.against}: trained on ${peer.tokens_per_pair} tokens a pair, ours on ${ours.tokens_per_pair}`,
      { exitStatus: 1 },
    );
  }
  const shares = `cores had: ours ${ours.cpu_share.toFixed(2)}, peer ${peer.cpu_share.toFixed(2)}`;
  const how = `${setting.how}; reference pass apart on our side; ${shares}`;
  const memory = "kernel's peak of resident memory after loading; ours includes the reference pass";
  return [
    benchLine("train", { ...setting, how }, [ours.pairs_per_second, peer.pairs_per_second], "pairs/s"),
    benchLine(
      "train",
      { ...setting, how: memory },
      [ours.peak_memory_bytes, peer.peak_memory_bytes],
      "bytes",
    ),
  ];
};

/** Lines of ours against the machine: useful operations a second over the best measured rate of matrix products. */
export const efficiency = (data: string, dtype: string, runs: readonly OursResult[]): BenchLine[] => {
  const { pairs_per_second, flops_per_pair } = pool(runs);
  const rate = pairs_per_second * flops_per_pair;
  const rates = [
    ["gemm 1024^3", Math.max(...runs.map((run) => run.gemm_cube))],
    ["gemm of the model's shapes", Math.max(...runs.map((run) => run.gemm_model))],
  ] as const;
  const how =
    "6 operations a weight and token (backbone) or response token (head); best of several products, same process";
  return rates.map(([against, gemm]) =>
    benchLine("train", { data, dtype, against, how }, [rate / 1e9, gemm / 1e9], "GF/s"),
  );
};
