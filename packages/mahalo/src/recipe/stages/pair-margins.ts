/** Margins of held-out pairs under a model's heads: what pair accuracy is counted from. */
import type { EncodedPair } from "../../data/encode.ts";
import type { Margins } from "../../evaluate/pair-accuracy.ts";
import type { LanguageModel } from "../../model/load.ts";
import type { Parameter } from "../../model/parameters.ts";
import { logProbs } from "../../train/passes.ts";

/** Tokens of one pass; without gradients memory is no matter at this size. */
const tokensPerPass = 4096;

const sum = (values: Float32Array | undefined): number => {
  let total = 0;
  for (const value of values ?? []) total += value;
  return total;
};

/**
 * log π(chosen) - log π(rejected) of every pair, in nats, by objective.
 *
 * @param label what the head is called in results.
 */
export const pairMargins = (
  model: LanguageModel,
  head: Parameter,
  label: string,
  pairs: readonly EncodedPair[],
  objectives: readonly string[],
): Margins[] => {
  const rows = pairs.map(({ prompt, chosen, rejected }, index) => ({
    prompt,
    branches: [chosen, rejected],
    objective: undefined,
    index,
  }));
  const logps = logProbs(model, rows, { tokensPerPass, headOf: () => head });
  return objectives.map((objective) => ({
    head: label,
    objective,
    margins: pairs.flatMap((pair, at) => {
      const [chosen, rejected] = logps[at] ?? [];
      return pair.objective === objective ? [sum(chosen) - sum(rejected)] : [];
    }),
  }));
};
