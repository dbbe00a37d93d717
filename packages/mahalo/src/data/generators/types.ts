/** What a row generator is: a named, seeded source of synthetic preference rows and held-out problems. */
import type { z } from "zod";
import type { Message, PreferenceRow } from "../rows/rows.ts";

/** A preference row that also carries the right answer of its problem. */
export type GeneratedRow = PreferenceRow & { answer: string };

/** A held-out problem: what the model is asked, and the answer a judge compares with. */
export type GeneratedProblem = { prompt: Message[]; answer: string; origin: PreferenceRow["origin"] };

/** All that a generator makes in one call. */
export type Generated = {
  /** Preference rows to train on, all objectives in turn. */
  train: GeneratedRow[];
  /** Preference rows of held-out problems, for pair accuracy. */
  heldOut: GeneratedRow[];
  /** The held-out problems themselves, for generation and judging. */
  problems: GeneratedProblem[];
};

/**
 * A generator of rows. A new one is one file that exports such a value, and one line in `registry.ts`.
 *
 * `generate` is a pure function of options and seed: the same two give the same rows on every machine.
 */
export type Generator<Options> = {
  readonly name: string;
  /** Names of the objectives it makes pairs for. */
  readonly objectives: readonly string[];
  /** The options a recipe may set, with defaults and descriptions. */
  readonly options: z.ZodType<Options>;
  generate(options: Options, seed: number): Generated;
};
