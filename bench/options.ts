/** Options that benches share: lists of known names and counts, with errors that name the option. */
import { MahaloError } from "@mahalo/torch";
import { didYouMean } from "../packages/mahalo/src/core/suggest.ts";
import type { ComputeDType } from "../packages/mahalo/src/model/transformer/parameters.ts";

/** Dtypes as benches call them, and what our models compute in. */
export const dtypes = { f32: "float32", bf16: "bfloat16" } as const satisfies Record<string, ComputeDType>;

/** A dtype as benches call it. */
export type DType = keyof typeof dtypes;

/** All dtypes, the exact one first. */
export const dtypeNames: readonly DType[] = ["f32", "bf16"];

/**
 * Reads a list of names with commas between them.
 *
 * @throws MahaloError E_BENCH_OPTION naming the option, with the nearest known name
 */
export const names = <Name extends string>(option: string, given: string, allowed: readonly Name[]): Name[] =>
  given.split(",").map((text) => {
    const match = allowed.find((name) => name === text.trim());
    if (match !== undefined) return match;
    throw new MahaloError("E_BENCH_OPTION", `--${option}: unknown "${text}". ${didYouMean(text, allowed)}`);
  });

/** Reads a whole number of at least `least` (default 1). @throws MahaloError E_BENCH_OPTION naming the option */
export const count = (option: string, given: string, least = 1): number => {
  const value = Number(given);
  if (Number.isSafeInteger(value) && value >= least) return value;
  const wanted = least === 1 ? "a positive integer" : `an integer of at least ${least}`;
  throw new MahaloError("E_BENCH_OPTION", `--${option}: "${given}" is not ${wanted}`);
};
