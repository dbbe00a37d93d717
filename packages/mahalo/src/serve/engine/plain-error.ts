/** Errors on their way between threads: a MahaloError's code, message and hint, and nothing of other errors but their text. */
import { MahaloError } from "@mahalo/torch";
import { RowProblem } from "../../data/rows/problems.ts";
import type { PlainError } from "./protocol.ts";

/** Code of an error that is nobody's but ours. */
export const internalCode = "E_INTERNAL";

/** An error as it is sent. */
export const toPlain = (error: unknown): PlainError => {
  if (error instanceof MahaloError) return { code: error.code, message: error.message, hint: error.hint };
  if (error instanceof RowProblem) return { code: "E_PROMPT", message: error.message };
  return { code: internalCode, message: error instanceof Error ? error.message : String(error) };
};

/** The error that was sent. */
export const fromPlain = ({ code, message, hint }: PlainError): MahaloError =>
  new MahaloError(code, message, { hint });
