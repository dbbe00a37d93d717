/** What a judge is: something that scores replies on one objective. */
import type { z } from "zod";
import type { Message } from "../../data/messages.ts";

/** One reply to be judged. */
export type JudgedItem = {
  prompt: Message[];
  response: string;
  /** What the judge compares with, for judges that need it, for example the right answer of a problem. */
  reference?: unknown;
};

/** A judge's verdict: a score in [0, 1], and why in a short sentence part. */
export type Verdict = { score: number; reason: string };

/** Scores replies on one objective; gives one verdict an item, in order. */
export type Judge = {
  readonly name: string;
  score(items: readonly JudgedItem[]): Promise<Verdict[]>;
};

/**
 * A kind of judge: its name in recipes, the schema of its options, and how one is made.
 *
 * A new kind is one file that exports such a value, and one line in `registry.ts`.
 */
export type JudgeKind<Kind extends string, Options> = {
  readonly kind: Kind;
  readonly options: z.ZodType<Options>;
  make(options: Options): Judge;
};
