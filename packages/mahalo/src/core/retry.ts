/** Work that is tried again: the failure that may pass, the loop, and the waits between two tries. */

/** A failure that another try may mend: the network, a busy server, a reply that is none. */
export class PassingFailure extends Error {
  /** Seconds that the server asks to wait. */
  readonly retryAfter: number | undefined;

  constructor(message: string, options: { retryAfter?: number | undefined; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryAfter = options.retryAfter;
  }
}

/**
 * The wait before another try: at random between half and all of first · 2^(failures - 1), at most `longestWait`, so
 * that callers that failed together do not come back together; and never less than the server asks for. In the unit of
 * the bounds.
 *
 * @param failures tries so far, from 1.
 * @param random in [0, 1]; at 1 the waits are the bounds themselves.
 */
export function backoff(
  failures: number,
  { firstWait, longestWait }: { firstWait: number; longestWait: number },
  random: number,
  asked = 0,
): number {
  return Math.max(asked, Math.min(longestWait, firstWait * 2 ** (failures - 1)) * (0.5 + random / 2));
}

/** How {@link retry} tries. */
export type RetryOptions = {
  /** Tries in all, or in a row without progress. */
  tries: number;
  /** Waits before the next try; what it throws ends the work. */
  wait: (failures: number, failure: PassingFailure) => Promise<void>;
  /** The error for the caller once no further try is made. */
  giveUp: (failure: PassingFailure, failures: number) => Error;
  /** Whether the try that failed came further than those before, so that failures count from 1 again. Default: never. */
  progressed?: (() => boolean) | undefined;
  /** Once aborted, what fails is not tried again. */
  ending?: AbortSignal | undefined;
};

/**
 * Does work until it succeeds; only a {@link PassingFailure} is tried again.
 *
 * @throws what `giveUp` gives, what `wait` throws, and every other error of the work
 *
 * @example
 * await retry(ask, { tries: 5, wait: (failures) => pause(500 * failures, "asking"), giveUp: (failure) => failure });
 */
export async function retry<T>(
  work: () => Promise<T>,
  { tries, wait, giveUp, progressed = () => false, ending }: RetryOptions,
): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof PassingFailure)) throw error;
      if (progressed()) failures = 1;
      if (failures >= tries || ending?.aborted === true) throw giveUp(error, failures);
      await wait(failures, error);
    }
  }
}
