/** What can go wrong with a call to an endpoint: what may pass, what will not, and what its server asks and says. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { parseJson } from "../core/json.ts";
import type { Redact } from "../core/redact.ts";
import { PassingFailure } from "../core/retry.ts";

/**
 * The seconds that a `Retry-After` header asks for: a number of seconds, or a date. Undefined for none or for rubbish.
 *
 * @param now milliseconds since 1970.
 */
export const retryAfter = (header: string | null, now: number): number | undefined => {
  const text = header?.trim() ?? "";
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  // Date.parse takes much for a date; the header's begins with a weekday's name.
  const date = /^[A-Za-z]{3,9},/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, (date - now) / 1000);
};

const said = z.union([
  z.looseObject({ error: z.looseObject({ message: z.string() }) }).transform(({ error }) => error.message),
  z.looseObject({ error: z.string() }).transform(({ error }) => error),
  z.looseObject({ message: z.string() }).transform(({ message }) => message),
  z.looseObject({ detail: z.string() }).transform(({ detail }) => detail),
]);

/** Text out of a reply, fit for a message: one line, no control characters, at most 300 characters. */
export const oneLine = (text: string): string => {
  const line = text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, " ").trim();
  return line.length > 300 ? `${line.slice(0, 297)}...` : line;
};

/**
 * What an error's body says, in the forms that endpoints use; "" where it says nothing.
 *
 * @param redact takes the key out, of decoded text too, before the text is cut: a part of a key is one, too.
 */
export const errorText = (body: string, redact: Redact): string => {
  try {
    return oneLine(redact(said.parse(parseJson(body, z.unknown(), "the reply"))));
  } catch {
    return /^\s*[<{[]/.test(body) ? "" : oneLine(redact(body));
  }
};

/** Statuses that another try may change. */
const passing = (status: number): boolean => [408, 409, 425, 429].includes(status) || status >= 500;

/** Seconds a server asks to wait, and where a redirect leads. */
export type FailureHeaders = { retryAfter: number | undefined; location: string | null };

/** The failure for a status that is no success. */
export const statusFailure = (
  url: string,
  status: number,
  body: string,
  headers: FailureHeaders,
  redact: Redact,
): PassingFailure | MahaloError => {
  const text = errorText(body, redact);
  const what = `status ${status}${text === "" ? "" : ` (${text})`}`;
  if (passing(status)) return new PassingFailure(`answers with ${what}`, { retryAfter: headers.retryAfter });
  const fail = (code: string, hint: string): MahaloError =>
    new MahaloError(code, `${url}: answers with ${what}`, { hint });
  if (status === 401 || status === 403) {
    return fail("E_ENDPOINT_DENIED", "check the API key in the variable that apiKeyEnv names");
  }
  if (status === 404 || status === 405) {
    return fail("E_ENDPOINT_NOT_FOUND", "check baseUrl, which usually ends with /v1, and the model's name");
  }
  if (status < 400) {
    const to = headers.location === null ? "" : ` to ${oneLine(redact(headers.location))}`;
    return new MahaloError("E_ENDPOINT_MOVED", `${url}: redirects${to}, which is not followed`, {
      hint: "give the endpoint's own address as baseUrl",
    });
  }
  return fail("E_ENDPOINT_REFUSED", "the endpoint refuses such a request; its reason is above");
};

/** The reason why a request did not get through, out of fetch's error, whose text may hold what was sent. */
export const networkReason = (error: unknown, redact: Redact): string => {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (!(cause instanceof Error)) return oneLine(redact(String(cause)));
  // Several addresses that failed are one error without a message of its own.
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
  return cause.message === "" ? code : oneLine(redact(cause.message));
};
