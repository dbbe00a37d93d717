/** Rows that cannot be used: counted by reason, reported with their places, an error past a given share. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { formatCount, formatNumberOf, formatShare } from "../../core/format.ts";

/** Where a row comes from; `line` counts from 1 (rows of JSON arrays and Parquet files count as lines). */
export const originSchema = z.strictObject({ file: z.string(), line: z.int() });

/** Where a row comes from. */
export type Origin = z.infer<typeof originSchema>;

/** A place as messages name it, for example `values.jsonl:118`. */
export const formatOrigin = ({ file, line }: Origin): string => `${file}:${line}`;

/** A number of rows in words: "1 row", "1,200 rows". */
export const formatRows = (count: number): string => formatNumberOf(count, "row");

/** Why a row cannot be used, in words fit for a report. */
export const reasons = {
  "invalid-row": "a field is missing or has the wrong type",
  "unmapped-field": "the column map found nothing to pick",
  "unknown-role": "a message has an unknown role",
  "broken-text": "a text holds half a character",
  "unknown-character": "the tokenizer has no token for a character",
  "bad-transcript": "a transcript has no turns or unknown speakers",
  "empty-prompt": "the prompt is empty",
  "empty-response": "a response is empty",
  "identical-pair": "chosen and rejected are the same",
  "prompts-differ": "chosen and rejected do not share their prompt",
  "prompt-not-prefix": "the chat template does not begin the conversation with the prompt",
  "template-error": "the chat template refused the row",
  "prompt-cut-away": "no word of the prompt's last turn is left after cutting",
  "response-cut-away": "no response token is left after cutting",
  "too-long": "the row leaves no room in the model's context",
} as const;

/** Stable name of a reason. */
export type Reason = keyof typeof reasons;

/** A reason's words by its name, which may come out of an older file. */
export function describeReason(name: string): string {
  return Object.entries(reasons).find(([reason]) => reason === name)?.[1] ?? name;
}

/** E_DATA_ROW: thrown while one row is read or encoded; whoever loops over the rows catches it with {@link ProblemStep.guard}. */
export class RowProblem extends MahaloError {
  readonly reason: Reason;

  constructor(reason: Reason, detail: string) {
    super("E_DATA_ROW", detail, { hint: reasons[reason] });
    this.reason = reason;
  }
}

/** One row that could not be used. */
export type Problem = { reason: Reason; origin: Origin; detail: string };

/** How many places a summary names for each reason. */
const shownPlaces = 3;
/** How many reasons for leaving rows out a summary names. */
const shownSkips = 12;

/** Bad rows by reason, most frequent first. */
const byReason = (problems: readonly Problem[]): [Reason, Problem[]][] => {
  const groups = new Map<Reason, Problem[]>();
  for (const problem of problems) {
    const group = groups.get(problem.reason);
    if (group === undefined) groups.set(problem.reason, [problem]);
    else group.push(problem);
  }
  return [...groups].sort(([, a], [, b]) => b.length - a.length);
};

/** Largest share of bad rows of a step that lets a run go on, where none is set. */
const defaultBadShare = 0.05;

/** What one step over rows met, for example the reading of one file. Made by {@link Problems.step}. */
export class ProblemStep {
  readonly #name: string;
  readonly #maxBadShare: number | undefined;
  readonly #known: WeakSet<object>;
  readonly #bad: Problem[] = [];
  readonly #skipped = new Map<string, number>();
  readonly #notes = new Map<string, number>();
  #seen = 0;
  #new = 0;

  constructor(name: string, maxBadShare: number | undefined, reported: WeakSet<object>) {
    this.#name = name;
    this.#maxBadShare = maxBadShare;
    this.#known = reported;
  }

  /** Rows of this step that no step before it had seen. */
  get newRows(): number {
    return this.#new;
  }

  get bad(): readonly Problem[] {
    return this.#bad;
  }

  get skipped(): ReadonlyMap<string, number> {
    return this.#skipped;
  }

  /** Runs `use` on one row; a {@link RowProblem} is kept and gives undefined, any other error goes through. */
  guard<T>(origin: Origin, use: () => T): T | undefined {
    try {
      return use();
    } catch (error) {
      if (!(error instanceof RowProblem)) throw error;
      this.#bad.push({ reason: error.reason, origin, detail: error.message });
      return undefined;
    }
  }

  /** Counts one row as seen, whatever becomes of it; `row` is what later steps will know it by. */
  see(row?: object): void {
    this.#seen += 1;
    if (row !== undefined && this.#known.has(row)) return;
    this.#new += 1;
    if (row !== undefined) this.#known.add(row);
  }

  /** Counts rows that are fine but give nothing, for example one whose candidates are all correct. */
  skip(why: string, rows = 1): void {
    this.#skipped.set(why, (this.#skipped.get(why) ?? 0) + rows);
  }

  /** What was done to rows that are used, and to how many; 0 if it does not concern rows. */
  get notes(): ReadonlyMap<string, number> {
    return this.#notes;
  }

  /** Tells what was done to rows that are used, for example that a prompt was cut; said once, with their number. */
  note(what: string, rows = 0): void {
    this.#notes.set(what, (this.#notes.get(what) ?? 0) + rows);
  }

  /** A few lines: how many rows are bad, then each reason with its first places. Empty when all is well. */
  summary(): string {
    const lines = byReason(this.#bad).flatMap(([reason, problems]) => [
      `  ${formatCount(problems.length)} ${reason}: ${reasons[reason]}`,
      ...problems.slice(0, shownPlaces).map(({ origin, detail }) => `    ${formatOrigin(origin)}: ${detail}`),
      ...(problems.length > shownPlaces
        ? [`    and ${formatCount(problems.length - shownPlaces)} more`]
        : []),
    ]);
    if (lines.length > 0) {
      const share = formatShare(this.#bad.length / Math.max(this.#seen, 1));
      lines.unshift(
        `${this.#name}: ${formatCount(this.#bad.length)} of ${formatRows(this.#seen)} cannot be used (${share}):`,
      );
    }
    const skipped = [...this.#skipped];
    for (const [why, rows] of skipped.slice(0, shownSkips))
      lines.push(`${this.#name}: ${formatRows(rows)} left out: ${why}`);
    if (skipped.length > shownSkips) {
      const others = skipped.slice(shownSkips).reduce((sum, [, rows]) => sum + rows, 0);
      lines.push(
        `${this.#name}: ${formatRows(others)} left out for ${formatCount(skipped.length - shownSkips)} more reasons`,
      );
    }
    for (const [what, rows] of this.#notes)
      lines.push(`${this.#name}: ${rows === 0 ? "" : `${formatRows(rows)}: `}${what}`);
    return lines.join("\n");
  }

  /**
   * Stops a run whose data are worse than agreed.
   *
   * @throws MahaloError E_DATA_TOO_MANY_BAD if bad rows are more than the agreed share of all rows of this step
   */
  check(): void {
    const share = this.#maxBadShare ?? defaultBadShare;
    if (this.#bad.length <= share * this.#seen) return;
    // Only a recipe has the setting; elsewhere the share is fixed.
    const raise = this.#maxBadShare === undefined ? "" : `, or raise data.maxBadShare (now ${share})`;
    throw new MahaloError("E_DATA_TOO_MANY_BAD", this.summary(), {
      hint: `correct these rows or the column map${raise}`,
    });
  }
}

/**
 * Collects the rows that cannot be used, over all steps of a run.
 *
 * Each step, the reading of a file or the encoding, has its own share of bad rows to keep to, so that a large file does
 * not hide what a limit or a later step makes of it. A row that passes several steps counts once in the totals.
 */
export class Problems {
  readonly #maxBadShare: number | undefined;
  readonly #steps = new Map<string, ProblemStep>();
  readonly #known = new WeakSet<object>();

  /** @param maxBadShare share in [0, 1], as a recipe's `data.maxBadShare` sets it; default 0.05 */
  constructor({ maxBadShare }: { maxBadShare?: number } = {}) {
    this.#maxBadShare = maxBadShare;
  }

  /** The step of a name; the same one when it is taken up again. */
  step(name: string): ProblemStep {
    const step = this.#steps.get(name) ?? new ProblemStep(name, this.#maxBadShare, this.#known);
    this.#steps.set(name, step);
    return step;
  }

  /** Number of different rows seen so far, good and bad. */
  get seen(): number {
    return [...this.#steps.values()].reduce((sum, { newRows }) => sum + newRows, 0);
  }

  /** Number of rows that could not be used. */
  get count(): number {
    return this.all.length;
  }

  /** The bad rows, step by step. */
  get all(): readonly Problem[] {
    return [...this.#steps.values()].flatMap(({ bad }) => bad);
  }

  /** The summaries of all steps that met a problem. Empty when all is well. */
  summary(): string {
    return [...this.#steps.values()]
      .map((step) => step.summary())
      .filter((text) => text !== "")
      .join("\n");
  }

  /** The counts as plain data, for metrics and `--json`. */
  toJSON(): {
    seen: number;
    bad: number;
    reasons: Record<string, number>;
    skipped: Record<string, number>;
    notes: Record<string, number>;
    problems: readonly Problem[];
  } {
    const total = (counts: (step: ProblemStep) => ReadonlyMap<string, number>): Record<string, number> => {
      const sums = new Map<string, number>();
      for (const step of this.#steps.values())
        for (const [why, rows] of counts(step)) sums.set(why, (sums.get(why) ?? 0) + rows);
      return Object.fromEntries(sums);
    };
    return {
      seen: this.seen,
      bad: this.count,
      reasons: Object.fromEntries(byReason(this.all).map(([reason, problems]) => [reason, problems.length])),
      skipped: total(({ skipped }) => skipped),
      notes: total(({ notes }) => notes),
      problems: this.all,
    };
  }
}
