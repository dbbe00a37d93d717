/** Errors on their way between threads: a MahaloError's code, message and hint, and nothing of other errors but their text. */
import { MahaloError } from "@mahalo/torch";
import type { PlainError } from "./protocol.ts";

/** Code of an error that is nobody's but ours. */
export const internalCode = "E_INTERNAL";

/** Texts without the folders of this machine: what a template refuses names the template's file. */
const withoutFolders = (text: string): string =>
  text.replace(/(?:\/[^\s/:"']+)+\/(?=[\w.-]+: the chat template)/g, "");

/** An error as it is sent. */
export const toPlain = (error: unknown): PlainError => {
  if (error instanceof MahaloError)
    return { code: error.code, message: withoutFolders(error.message), hint: error.hint, stack: error.stack };
  return {
    code: internalCode,
    message: error instanceof Error ? error.message : String(error),
    stack: error instanceof Error ? error.stack : undefined,
  };
};

/** The error that was sent. */
export const fromPlain = ({ code, message, hint, stack }: PlainError): MahaloError => {
  const error = new MahaloError(code, message, { hint });
  if (stack !== undefined) error.stack = stack;
  return error;
};
