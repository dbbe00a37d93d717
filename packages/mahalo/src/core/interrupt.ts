/** Stopping on request: one error for all work that an abort ends. */
import { MahaloError } from "@mahalo/torch";

/** What to do after an interruption of work that is kept as it goes. */
export const goesOn = "the same command goes on from here";

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
