/** Time as an endpoint's caller sees it; tests bring their own. */

/** Says what time it is, and waits. */
export type Clock = {
  /** Milliseconds since 1970. */
  now(): number;
  /** Waits so many milliseconds, or until one of the signals is aborted. */
  wait(milliseconds: number, ...signals: (AbortSignal | undefined)[]): Promise<void>;
};

/** The machine's clock. */
export const machineClock: Clock = {
  now: () => Date.now(),
  wait: (milliseconds, ...signals) =>
    new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        for (const signal of signals) signal?.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, milliseconds);
      for (const signal of signals) {
        if (signal?.aborted) end();
        else signal?.addEventListener("abort", end, { once: true });
      }
    }),
};
