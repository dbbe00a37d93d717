/** Supervised fine-tuning: mean negative log-likelihood of the response tokens of a step. */
import { MahaloError } from "@mahalo/torch";
import type { EncodedExample } from "../data/tokens/encode.ts";
import type { Metrics } from "./metrics.ts";
import type { Task, TaskRow } from "./task.ts";

/** What SFT records of one row. */
export type SftRecord = { tokens: number; logp: number };

/** Rows and their order. */
export type SftTaskOptions = {
  examples: readonly EncodedExample[];
  heldOut: readonly EncodedExample[];
  steps: number;
  /** Indices of the examples of a step. */
  batch(step: number): readonly number[];
};

const tokensOf = (rows: readonly TaskRow[]): number =>
  rows.reduce(
    (total, row) => total + row.completions.reduce((sum, completion) => sum + completion.length, 0),
    0,
  );

/**
 * loss = -(1 / N) sum of log p(token) over the N response tokens of the step: every token weighs the same.
 */
export const sftTask = ({ examples, heldOut, steps, batch }: SftTaskOptions): Task<SftRecord> => {
  const row = ({ prompt, response }: EncodedExample, index: number): TaskRow => ({
    prompt,
    completions: [response],
    objective: undefined,
    index,
  });
  const all = examples.map(row);
  const rowAt = (index: number): TaskRow => {
    const found = all[index];
    if (found === undefined) throw new MahaloError("E_INTERNAL", `no example ${index}`, { exitStatus: 1 });
    return found;
  };
  return {
    name: "sft",
    steps,
    rows: (step) => batch(step).map(rowAt),
    loss: (example, logps, step) => ({
      gradients: example.completions.map(() => -1 / tokensOf(step)),
      record: {
        tokens: tokensOf([example]),
        logp: logps.reduce((sum, completion) => sum + completion.reduce((total, logp) => total + logp, 0), 0),
      },
    }),
    metrics: (records): Metrics => {
      const tokens = records.reduce((sum, record) => sum + record.tokens, 0);
      const loss = -records.reduce((sum, record) => sum + record.logp, 0) / tokens;
      return { loss, perplexity: Math.exp(loss) };
    },
    heldOut: heldOut.map(row),
  };
};
