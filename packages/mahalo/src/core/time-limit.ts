/** Runs work that must not wait, such as a regular expression of the user's, with a limit on its time. */
import { types } from "node:util";
import { createContext, Script } from "node:vm";

const call = new Script("work()", { filename: "time-limit" });
const context: { work?: () => unknown } = {};
const room = createContext(context);

/** Whether it says that time was up. It comes from the other context, whose Error is another class. */
const isTimeout = (error: unknown): boolean =>
  types.isNativeError(error) && "code" in error && error.code === "ERR_SCRIPT_EXECUTION_TIMEOUT";

/** What {@link withinTime} gives for work that was ended at the limit. */
export const overdue: unique symbol = Symbol("overdue");

/** A busy machine may take so many times as long as a quiet one, and no limit is reached for that. */
export const busiest = 64;

/** Time that processors have spent on this process, in milliseconds. */
export function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Calls `work` once, for at most so many milliseconds on the clock. */
function attempt<T>(limit: number, work: () => T): T | typeof overdue {
  let result: { value: T } | undefined;
  context.work = (): void => {
    result = { value: work() };
  };
  try {
    call.runInContext(room, { timeout: limit });
  } catch (error) {
    if (isTimeout(error)) return overdue;
    throw error;
  } finally {
    delete context.work;
  }
  return result === undefined ? overdue : result.value;
}

/**
 * Calls `work`, and ends it where it takes longer than the limit; a regular expression that backtracks without end is
 * ended too. About 0.2 ms a call on top of the work's own time.
 *
 * The work is ended wherever it stands, `finally` blocks unheeded, so it should change nothing but its own values. It
 * must not wait for promises; what it throws passes through. Where other programs had the processors for most of that
 * time, it is called again with twice the time.
 *
 * @param limit in milliseconds of a machine that does nothing else.
 */
export const withinTime = <T>(limit: number, work: () => T): T | typeof overdue => {
  for (let patience = limit; ; patience *= 2) {
    const before = processorTime();
    const result = attempt(patience, work);
    const hadItsTime = processorTime() - before >= limit / 2;
    if (result !== overdue || hadItsTime || patience >= limit * busiest) return result;
  }
};
