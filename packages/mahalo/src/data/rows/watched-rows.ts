/** Watches over the reading of one file: an end when it is asked for, a bound on its rows, progress where it takes long. */
import { MahaloError } from "@mahalo/torch";
import { formatCount } from "../../core/format.ts";
import { breathe } from "../../core/interrupt.ts";
import { type LateProgress, lateProgress } from "../../core/progress.ts";

/**
 * Rows between two pauses in which other work of the process, such as handlers of signals, has its turn. Shorter files are
 * read to their end, so that a run which is asked to stop at once still keeps its first step.
 */
const rowsBetweenPauses = 1024;

/** Options of {@link watchedRows}. */
export type WatchOptions = {
  /** How messages call the file. */
  name: string;
  /** Most rows that the file may have. */
  maxRows: number;
  /** Ends the reading. Default: only the process's own end does. */
  signal?: AbortSignal | undefined;
  /** Shows how far the reading is. Default: on standard error, where it takes long. */
  display?: LateProgress;
};

/**
 * The same rows, one at a time.
 *
 * @throws MahaloError E_INTERRUPTED once `signal` is aborted or the process is to stop; E_DATA_TOO_MANY_ROWS
 */
export async function* watchedRows<Row>(
  rows: AsyncIterable<Row>,
  {
    name,
    maxRows,
    signal,
    display = lateProgress({ label: `read ${name}`, total: 0, unit: "rows" }),
  }: WatchOptions,
): AsyncGenerator<Row> {
  const doing = `reading ${name}`;
  let count = 0;
  for await (const row of rows) {
    count += 1;
    if (count > maxRows) throw tooMany(name, maxRows);
    if (count % rowsBetweenPauses === 0) {
      await breathe(signal, doing);
      display.update(count);
    }
    yield row;
  }
  display.done(count);
}

const tooMany = (name: string, maxRows: number): MahaloError =>
  new MahaloError("E_DATA_TOO_MANY_ROWS", `${name}: has more than ${formatCount(maxRows)} rows`, {
    hint: "if you trust the file, raise MAHALO_MAX_ROWS",
  });
