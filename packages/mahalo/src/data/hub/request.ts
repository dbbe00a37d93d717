/** Requests to the hub: redirects followed by hand, the token sent to the endpoint only, failures in plain words. */
import { MahaloError } from "@mahalo/torch";
import { pause } from "../../core/interrupt.ts";
import { redactor } from "../../core/redact.ts";
import { backoff, PassingFailure, retry } from "../../core/retry.ts";
import type { Repo } from "./names.ts";
import type { HubSettings } from "./settings.ts";

/** Waiting times in milliseconds; tests make them short. */
export type Patience = {
  /** For the answer's head. */
  answer: number;
  /** Between two pieces of the body. */
  stall: number;
  /** Before the second try; doubled for each further one. */
  retry: number;
  /** Tries without any progress before giving up. */
  tries: number;
};

/** Waiting times in use. */
export const usualPatience: Patience = { answer: 30_000, stall: 60_000, retry: 500, tries: 5 };

/** What is asked for, as errors name it. */
export const nameOf = (repo: Repo, file?: string): string =>
  `${repo.id}${repo.revision === "main" ? "" : `@${repo.revision}`}${file === undefined ? "" : `: ${file}`}`;

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status);

/** Where a redirect leads, or undefined for an answer that is none (or one that leads nowhere). */
export const redirectTarget = (response: Response, url: string): string | undefined => {
  const location = response.headers.get("location");
  if (!isRedirect(response.status) || location === null || !URL.canParse(location, url)) return undefined;
  return new URL(location, url).href;
};

/** What the hub says, without the token that it was sent, on one line. */
const clean = (text: string, settings: HubSettings): string => {
  const line = redactor(settings.token, "(the token)")(text).replaceAll(/[\p{Cc}\s]+/gu, " ");
  return line.length > 300 ? `${line.slice(0, 297)}...` : line;
};

/** What is missing, by the hub's code for it. */
const missingThings = new Map([
  ["RepoNotFound", "repository"],
  ["RevisionNotFound", "revision"],
  ["EntryNotFound", "file"],
]);

/** The error for an answer that will not change when it is asked for again, or undefined for a success. */
const refusal = (
  response: Response,
  settings: HubSettings,
  repo: Repo,
  file: string | undefined,
): MahaloError | undefined => {
  const { status } = response;
  const what = nameOf(repo, file);
  if (isRedirect(status) && redirectTarget(response, settings.endpoint) === undefined) {
    return new MahaloError("E_HUB", `${what}: ${settings.endpoint} redirects to no address`, {
      hint: "check HF_ENDPOINT",
      exitStatus: 1,
    });
  }
  if (status < 400) return undefined;
  const said = response.headers.get("x-error-message");
  const reason = said ? ` (${clean(said, settings)})` : "";
  if (status === 401 || status === 403) {
    return new MahaloError("E_HUB_DENIED", `${what}: ${settings.endpoint} refuses access${reason}`, {
      hint: settings.token
        ? "check that HF_TOKEN may read this repository and that its terms are accepted"
        : "set HF_TOKEN for a private or gated repository; check the name, since the hub gives the same answer if it does not exist",
    });
  }
  if (status === 404) {
    const code = response.headers.get("x-error-code") ?? "";
    const missing = missingThings.get(code) ?? "repository or file";
    return new MahaloError(
      "E_HUB_NOT_FOUND",
      `${what}: ${settings.endpoint} has no such ${missing}${reason}`,
      {
        hint: "check the id, the revision and the file's name",
      },
    );
  }
  return new MahaloError("E_HUB", `${what}: ${settings.endpoint} answers with status ${status}${reason}`, {
    hint: "try again later",
    exitStatus: 1,
  });
};

const maxRedirects = 10;

/**
 * One request.
 *
 * @param stopAt returns true for a redirect that shall be returned instead of followed.
 * @throws PassingFailure for network failures and statuses 408, 429 and 5xx; MahaloError for other refusals
 */
export const request = async (
  url: string,
  init: { method: "GET" | "HEAD"; headers?: Record<string, string>; signal?: AbortSignal },
  context: { settings: HubSettings; patience: Patience; repo: Repo; file?: string },
  stopAt: (response: Response, target: string) => boolean = () => false,
): Promise<Response> => {
  const { settings, patience, repo, file } = context;
  const home = new URL(settings.endpoint).origin;
  let address = url;
  for (let hop = 0; hop <= maxRedirects; hop += 1) {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(new Error("no answer in time")), patience.answer);
    const signals = [abort.signal, ...(init.signal ? [init.signal] : [])];
    let response: Response;
    try {
      const atHome = new URL(address).origin === home;
      response = await fetch(address, {
        method: init.method,
        headers: {
          "user-agent": "mahalo",
          // Compressed answers have other lengths and ranges than the file.
          "accept-encoding": "identity",
          ...init.headers,
          ...(atHome && settings.token ? { authorization: `Bearer ${settings.token}` } : {}),
        },
        redirect: "manual",
        signal: AbortSignal.any(signals),
      });
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      const reason = cause instanceof Error ? cause.message : String(cause);
      // Without fetch's own error, whose text may hold the token.
      throw new PassingFailure(`cannot reach ${new URL(address).origin}: ${clean(reason, settings)}`);
    } finally {
      clearTimeout(timer);
    }
    const target = redirectTarget(response, address);
    if (target === undefined || stopAt(response, target)) {
      const { status } = response;
      if (status === 408 || status === 429 || status >= 500) {
        await response.body?.cancel();
        throw new PassingFailure(`${new URL(address).origin} answers with status ${status}`);
      }
      // 416 says something about the range that was asked for; the caller knows what.
      const error = status === 416 ? undefined : refusal(response, settings, repo, file);
      if (error !== undefined) {
        await response.body?.cancel();
        throw error;
      }
      return response;
    }
    await response.body?.cancel();
    address = target;
  }
  throw new MahaloError("E_HUB", `${nameOf(repo, file)}: more than ${maxRedirects} redirects`, {
    hint: "check HF_ENDPOINT",
  });
};

/**
 * Tries until `work` succeeds, waiting longer each time; gives up after `patience.tries` failures in a row without
 * progress, as `progressed` tells.
 *
 * @throws MahaloError E_HUB_UNREACHABLE
 */
export function insist<T>(
  what: string,
  patience: Patience,
  work: () => Promise<T>,
  progressed?: () => boolean,
): Promise<T> {
  const waits = { firstWait: patience.retry, longestWait: Number.POSITIVE_INFINITY };
  return retry(work, {
    tries: patience.tries,
    progressed,
    wait: (failures) => pause(backoff(failures, waits, 1), "downloading"),
    giveUp: (failure) =>
      new MahaloError("E_HUB_UNREACHABLE", `${what}: ${failure.message}`, {
        hint: "check the network and HF_ENDPOINT, or put the file under MAHALO_MIRROR; a download resumes where it stopped",
        cause: failure,
        exitStatus: 1,
      }),
  });
}
