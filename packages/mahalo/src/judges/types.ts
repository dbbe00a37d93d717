/** What a judge is: something that scores replies on one objective. */
import { MahaloError } from "@mahalo/torch";
import type { z } from "zod";
import type { Message } from "../data/rows/messages.ts";

/** One reply to be judged. */
export type JudgedItem = {
  prompt: readonly Message[];
  response: string;
  /** What the judge compares with, for judges that need it, for example the right answer of a problem. */
  reference?: unknown;
  /** Where the item comes from, for messages: `rows.jsonl:118`. Default: its place in the batch. */
  where?: string;
};

/** A judge's verdict: a score in [0, 1], or null where it abstains, and why in a short sentence part. */
export type Verdict = { score: number | null; reason: string };

/** Options of {@link Judge.score}. */
export type ScoreOptions = {
  /** Stops with an error; what was judged by then was told to `onVerdict`. */
  signal?: AbortSignal | undefined;
  /**
   * Called with each verdict as soon as it is there, once an item, in any order; a judge that judges all in one go need
   * not call it.
   */
  onVerdict?: ((index: number, verdict: Verdict) => void) | undefined;
};

/** Scores replies on one objective. */
export type Judge = {
  readonly name: string;
  /** One verdict an item, in order. @throws MahaloError what the judge throws; E_INTERRUPTED after an abort */
  score(items: readonly JudgedItem[], options?: ScoreOptions): Promise<Verdict[]>;
  /** Gives back what it holds, for example a model's memory; it is not used afterwards. Default: nothing to do. */
  dispose?(): void;
};

/** What verdicts are on: the answer, as of a verifiable objective, or a reply's manner, as of a judged one. */
export type VerdictsOn = "answer" | "manner";

/**
 * A kind of judge: its name in recipes, the schema of its options, and how one is made.
 *
 * A new kind is one file that exports such a value, and one line in `registry.ts`.
 */
export type JudgeKind<Kind extends string, Options> = {
  readonly kind: Kind;
  readonly options: z.ZodType<Options>;
  /** What its verdicts say of a row with an answer: whether a reply is right, or how well it is made. */
  readonly verdictsOn: VerdictsOn;
  /**
   * Makes a judge, cheaply: what takes long (a model, a file) is loaded by the first call of `score`.
   *
   * @throws MahaloError for what can be known to fail before any reply is there, for example a missing key
   */
  make(options: Options): Judge;
  /**
   * The part of the options that verdicts depend on, as JSON can hold it; how fast or how patiently a judge works is
   * left out. Default: all options.
   */
  content?(options: Options): unknown;
  /** Names of the options that are paths of the user's own files; the content of the files decides verdicts too. */
  readonly files?: readonly (keyof Options & string)[];
  /** Names of the options that may be paths of folders; what is no folder here, a hub id say, is known by its name. */
  readonly folders?: readonly (keyof Options & string)[];
  /** Whether it compares with the row's answer, so that a row without one cannot be judged. Default: it does not. */
  readonly needsAnswer?: boolean;
  /** Raised when equal options would give other verdicts than before. Default "1". */
  readonly version?: string;
  /** Whether verdicts are kept on disk: where one costs more than reading a line. Default: they are not. */
  cached?(options: Options): boolean;
};

/** An item's name in messages. */
export const itemName = ({ where }: JudgedItem, index: number): string => where ?? `item ${index + 1}`;

/**
 * Stops where a judge that compares with answers abstained from all items, since none has one.
 *
 * @throws MahaloError E_JUDGE_REFERENCE that names the first item
 */
export const requireSomeAnswer = (
  judge: string,
  items: readonly JudgedItem[],
  verdicts: readonly Verdict[],
): void => {
  const [first] = items;
  if (first === undefined || verdicts.some(({ score }) => score !== null)) return;
  const given = JSON.stringify(first.reference) ?? "nothing";
  throw new MahaloError(
    "E_JUDGE_REFERENCE",
    `${itemName(first, 0)}: the judge "${judge}" needs an answer to compare with, not ${given}`,
    { hint: "give the rows an answer, for example through the column map" },
  );
};
