/** Rows that cannot be used: counted by reason, reported with their places, an error past a given share. */
import { MahaloError } from "@mahalo/torch";
import { formatCount, formatShare } from "../core/format.ts";

/** Where a row comes from; `line` counts from 1 (rows of JSON arrays and Parquet files count as lines). */
export type Origin = { file: string; line: number };

/** A place as messages name it, for example `values.jsonl:118`. */
export const formatOrigin = ({ file, line }: Origin): string => `${file}:${line}`;

/** A number of rows in words: "1 row", "1,200 rows". */
export const formatRows = (count: number): string => `${formatCount(count)} ${count === 1 ? "row" : "rows"}`;

/** Why a row cannot be used, in words fit for a report. */
export const reasons = {
  "invalid-row": "a field is missing or has the wrong type",
  "unmapped-field": "the column map found nothing to pick",
  "unknown-role": "a message has an unknown role",
  "bad-transcript": "a transcript has no turns or unknown speakers",
  "empty-prompt": "the prompt is empty",
  "empty-response": "a response is empty",
  "identical-pair": "chosen and rejected are the same",
  "prompts-differ": "chosen and rejected do not share their prompt",
  "prompt-not-prefix": "the chat template does not begin the conversation with the prompt",
  "template-error": "the chat template refused the row",
  "response-cut-away": "no response token is left after cutting",
} as const;

/** Stable name of a reason. */
export type Reason = keyof typeof reasons;

/** Thrown while one row is read or encoded; whoever loops over the rows catches it with {@link Problems.guard}. */
export class RowProblem extends Error {
  override readonly name = "RowProblem";
  readonly reason: Reason;

  constructor(reason: Reason, detail: string) {
    super(detail);
    this.reason = reason;
  }
}

/** One row that could not be used. */
export type Problem = { reason: Reason; origin: Origin; detail: string };

/** How many places the summary names for each reason. */
const shownPlaces = 3;

/** Collects the rows that cannot be used, against the number of rows seen. One collector for each step over the rows. */
export class Problems {
  /** Largest share of bad rows, in [0, 1], that {@link check} lets pass. */
  readonly maxBadShare: number;
  readonly #bad: Problem[] = [];
  readonly #skipped = new Map<string, number>();
  #seen = 0;

  /** @param maxBadShare share in [0, 1]; default 0.05 */
  constructor({ maxBadShare = 0.05 }: { maxBadShare?: number } = {}) {
    this.maxBadShare = maxBadShare;
  }

  /** Number of rows seen so far, good and bad. */
  get seen(): number {
    return this.#seen;
  }

  /** Number of rows that could not be used. */
  get count(): number {
    return this.#bad.length;
  }

  /** The bad rows in the order they came. */
  get all(): readonly Problem[] {
    return this.#bad;
  }

  /** Counts rows as seen, whatever becomes of them. */
  see(rows: number): void {
    this.#seen += rows;
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

  /** Counts one row as seen and guards its use. */
  try<T>(origin: Origin, use: () => T): T | undefined {
    this.see(1);
    return this.guard(origin, use);
  }

  /** Counts a row that is fine but gives nothing, for example one whose candidates are all correct. */
  skip(why: string, rows = 1): void {
    this.#skipped.set(why, (this.#skipped.get(why) ?? 0) + rows);
  }

  /** Bad rows by reason, most frequent first. */
  byReason(): [Reason, Problem[]][] {
    const groups = new Map<Reason, Problem[]>();
    for (const problem of this.#bad) {
      groups.set(problem.reason, [...(groups.get(problem.reason) ?? []), problem]);
    }
    return [...groups].sort(([, a], [, b]) => b.length - a.length);
  }

  /**
   * Text of a few lines: how many rows are bad, then each reason with its first places. Empty when all is well.
   */
  summary(): string {
    const lines = this.byReason().flatMap(([reason, problems]) => [
      `  ${formatCount(problems.length)} ${reason}: ${reasons[reason]}`,
      ...problems.slice(0, shownPlaces).map(({ origin, detail }) => `    ${formatOrigin(origin)}: ${detail}`),
      ...(problems.length > shownPlaces
        ? [`    and ${formatCount(problems.length - shownPlaces)} more`]
        : []),
    ]);
    if (lines.length > 0) {
      const share = formatShare(this.#bad.length / Math.max(this.#seen, 1));
      lines.unshift(
        `${formatCount(this.#bad.length)} of ${formatRows(this.#seen)} cannot be used (${share}):`,
      );
    }
    for (const [why, rows] of this.#skipped) lines.push(`${formatRows(rows)} left out: ${why}`);
    return lines.join("\n");
  }

  /** The counts as plain data, for metrics and `--json`. */
  toJSON(): {
    seen: number;
    bad: number;
    reasons: Record<string, number>;
    skipped: Record<string, number>;
    problems: Problem[];
  } {
    return {
      seen: this.#seen,
      bad: this.#bad.length,
      reasons: Object.fromEntries(this.byReason().map(([reason, problems]) => [reason, problems.length])),
      skipped: Object.fromEntries(this.#skipped),
      problems: this.#bad,
    };
  }

  /**
   * Stops a run whose data are worse than agreed.
   *
   * @throws MahaloError E_DATA_TOO_MANY_BAD if bad rows are more than `maxBadShare` of all rows seen
   */
  check(): void {
    if (this.#bad.length > this.maxBadShare * this.#seen) {
      throw new MahaloError("E_DATA_TOO_MANY_BAD", this.summary(), {
        hint: `correct these rows or the column map, or raise data.maxBadShare (now ${this.maxBadShare})`,
      });
    }
  }
}
