/** What set-up tells the person who waits: one line a step with its time, and errors that name the fix. */

/** A reason why set-up cannot go on, with what to do about it; ends the process with exit status 2. */
export class SetupError extends Error {
  /**
   * @param {string} message what is wrong
   * @param {string} hint what to do about it
   */
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

/** Prints to stderr, so that a command's own output stays clean. */
export const say = (/** @type {string} */ text) => {
  process.stderr.write(`${text}\n`);
};

/**
 * Runs one step and prints its name, what it returned, and how long it took.
 *
 * @template T
 * @param {string} name for example "libtorch"
 * @param {() => Promise<{ note: string, value: T }>} work
 * @returns {Promise<T>}
 */
export const step = async (name, work) => {
  const start = performance.now();
  const { note, value } = await work();
  const seconds = ((performance.now() - start) / 1000).toFixed(2);
  say(`set-up  ${name.padEnd(9)} ${note}  (${seconds} s)`);
  return value;
};
