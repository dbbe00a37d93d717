/** The one error family of mahalo: a code to test for, a message that says what and where, a hint that says what to do. */

/** How a {@link MahaloError} may be completed. */
export type MahaloErrorOptions = {
  /** What the user can do about it. */
  hint?: string | undefined;
  /** The error that led to this one. */
  cause?: unknown;
  /** Exit status of a command that ends with this error: 2 for bad input (default), 1 for a failure of ours. */
  exitStatus?: 1 | 2;
};

/**
 * An error with a stable code.
 *
 * @example
 * throw new MahaloError("E_ROW_EMPTY", "values.jsonl:118: row has no response token left", { hint: "raise data.maxTokens" });
 */
export class MahaloError extends Error {
  override readonly name = "MahaloError";
  /** Stable identifier, for example `E_ROW_EMPTY`. */
  readonly code: string;
  readonly hint: string | undefined;
  readonly exitStatus: 1 | 2;

  constructor(code: string, message: string, options: MahaloErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.exitStatus = options.exitStatus ?? 2;
  }
}

/** The text a person reads: message, hint and code. */
export const describeError = (error: unknown): string => {
  if (error instanceof MahaloError) {
    const message = error.message.replace(/\.$/, "");
    // A hint that is a sentence of its own stays one.
    const told = error.hint
      ? `${message}${/^[A-Z]/.test(error.hint) ? "." : ";"} ${error.hint}`
      : error.message;
    return `${told}  (${error.code})`;
  }
  return error instanceof Error ? error.message : String(error);
};
