/** Stopping on request: one error for all work that an abort ends. */
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { MahaloError } from "@mahalo/torch";

/** What to do after an interruption of work that is kept as it goes. */
export const resumes = "the same command resumes from here";

/**
 * Throws once the caller has asked to stop.
 *
 * @param doing what was going on, for the message: "generating".
 * @param hint what to do to go on. Default: none.
 * @throws MahaloError E_INTERRUPTED, with the signal's reason as its cause
 */
export const throwIfAborted = (signal: AbortSignal | undefined, doing: string, hint?: string): void => {
  if (!signal?.aborted) return;
  throw new MahaloError("E_INTERRUPTED", `stopped while ${doing}`, {
    hint,
    exitStatus: 1,
    cause: signal.reason,
  });
};

let stopping: AbortSignal | undefined;

/** Has what belongs to no single piece of work (waiting for a lock or a pipe's reader, a download) end with this signal. */
export function stopWaitingOn(signal: AbortSignal | undefined): void {
  stopping = signal;
}

/**
 * Throws once the process has been asked to stop.
 *
 * @throws MahaloError E_INTERRUPTED
 */
export function throwIfStopping(doing: string, hint?: string): void {
  throwIfAborted(stopping, doing, hint);
}

/**
 * Lets all else that waits have its turn, handlers of signals among it, and throws once the caller or the process has been
 * asked to stop. Long loops that wait for nothing call it now and then, since otherwise nothing could stop them.
 *
 * @throws MahaloError E_INTERRUPTED
 */
export async function breathe(signal: AbortSignal | undefined, doing: string): Promise<void> {
  await nextTurn();
  throwIfAborted(signal, doing);
  throwIfStopping(doing);
}

/**
 * Waits a moment, and throws once the process has been asked to stop.
 *
 * @throws MahaloError E_INTERRUPTED
 */
export async function pause(milliseconds: number, doing: string): Promise<void> {
  throwIfStopping(doing);
  await sleep(milliseconds);
  throwIfStopping(doing);
}
