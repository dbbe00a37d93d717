/** An OpenAI-compatible endpoint: calls with a time limit, tried again with care, within a budget. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { throwIfAborted } from "../core/interrupt.ts";
import { checkValue, parseJson } from "../core/json.ts";
import { rng } from "../core/random.ts";
import { type Redact, redactor, redactValue } from "../core/redact.ts";
import { backoff, PassingFailure, retry } from "../core/retry.ts";
import { dropBody, readBody, tooLarge } from "./body.ts";
import { type Clock, machineClock } from "./clock.ts";
import { errorText, networkReason, oneLine, retryAfter, statusFailure } from "./failures.ts";
import { Limiter } from "./limiter.ts";
import { apiKey, type EndpointOptions } from "./options.ts";

/** Most bytes of a reply; the longest answers of today's models have a tenth of that. */
export const largestReply = 8 * 1024 * 1024;

/** What an endpoint was asked for so far. */
export type Usage = {
  /** Requests sent. */
  calls: number;
  /** Tokens of prompts and replies, as the endpoint counts them; where it does not, one for every four characters. */
  tokens: number;
};

/** Options of one call. */
export type CallOptions = {
  /** Ends the call at once, with an error. */
  signal?: AbortSignal | undefined;
  /** Once aborted, a call that fails is not tried again. */
  ending?: AbortSignal | undefined;
};

const usageSchema = z.looseObject({ usage: z.looseObject({ total_tokens: z.int().nonnegative() }) });

const isJson = (response: Response): boolean =>
  /^application\/(?:[\w.+-]+\+)?json\b/i.test(response.headers.get("content-type") ?? "");

/**
 * An endpoint. All its calls share one limit of concurrency, one budget, and the waits that the server asks for.
 *
 * @example
 * const endpoint = new Endpoint(endpointSchema.parse({ baseUrl: "http://localhost:8000/v1", model: "judge" }));
 * const reply = await endpoint.post("chat/completions", { model, messages }, replySchema);
 */
export class Endpoint {
  readonly options: EndpointOptions;
  readonly #limiter: Limiter;
  readonly #key: string | undefined;
  /** Takes the API key out of what the server says, which may say it again. */
  readonly #redact: Redact;
  readonly #clock: Clock;
  readonly #random = rng(process.pid, "endpoint", "retry");
  readonly #used: Usage = { calls: 0, tokens: 0 };
  /** No request is sent before this time, in milliseconds since 1970. */
  #notBefore = 0;

  /** @throws MahaloError E_ENDPOINT_KEY where the key that the options name is not there */
  constructor(
    options: EndpointOptions,
    {
      environment = process.env,
      clock = machineClock,
    }: { environment?: NodeJS.ProcessEnv; clock?: Clock } = {},
  ) {
    this.options = options;
    this.#key = apiKey(options, environment);
    this.#redact = redactor(this.#key, "(the API key)");
    this.#limiter = new Limiter(options.concurrency);
    this.#clock = clock;
  }

  /** What was spent so far. */
  get usage(): Usage {
    return { ...this.#used };
  }

  /**
   * Posts a body as JSON and gives the reply, checked.
   *
   * Tried again, up to `tries` times in all: where the connection fails or is cut, the time is up, the status is 408,
   * 409, 425, 429 or above 499, or the reply is no JSON of the form wanted. Waits grow with each try and heed
   * `Retry-After`, which holds all other calls back too.
   *
   * @param path behind the base URL, for example `chat/completions`.
   * @throws MahaloError E_ENDPOINT_FAILED when all tries failed; E_ENDPOINT_BUSY when the server asks for a longer wait
   *   than `longestWait`; E_ENDPOINT_DENIED, E_ENDPOINT_NOT_FOUND, E_ENDPOINT_MOVED, E_ENDPOINT_REFUSED, E_ENDPOINT_HUGE
   *   for what no further try would change; E_ENDPOINT_BUDGET; E_INTERRUPTED
   */
  post<T>(path: string, body: unknown, schema: z.ZodType<T>, options: CallOptions = {}): Promise<T> {
    const url = `${this.options.baseUrl.replace(/\/+$/, "")}/${path}`;
    const text = JSON.stringify(body);
    return this.#limiter.run(() => this.#insist(url, text, schema, options));
  }

  #insist<T>(url: string, body: string, schema: z.ZodType<T>, { signal, ending }: CallOptions): Promise<T> {
    const { tries, longestWait } = this.options;
    const attempt = async (): Promise<T> => {
      await this.#turn(signal, ending);
      throwIfAborted(signal, "waiting for replies");
      this.#spend();
      try {
        return await this.#attempt(url, body, schema, signal);
      } catch (error) {
        throwIfAborted(signal, "waiting for replies");
        throw error;
      }
    };
    return retry(attempt, {
      tries,
      ending,
      giveUp: (failure, failures) => {
        const tried = failures === 1 ? "" : ` (tried ${failures} times)`;
        return new MahaloError("E_ENDPOINT_FAILED", `${url}: ${failure.message}${tried}`, {
          hint: "check that the endpoint is running; raise tries or timeout if it is slow",
          exitStatus: 1,
          cause: failure,
        });
      },
      wait: async (failures, failure) => {
        const asked = failure.retryAfter ?? 0;
        if (asked > longestWait) {
          throw new MahaloError(
            "E_ENDPOINT_BUSY",
            `${url}: ${failure.message} and asks to wait ${Math.ceil(asked)} s, longer than longestWait (${longestWait} s)`,
            { hint: "try again later, or raise longestWait", exitStatus: 1, cause: failure },
          );
        }
        this.#notBefore = Math.max(this.#notBefore, this.#clock.now() + asked * 1000);
        const wait = backoff(failures, this.options, this.#random.next(), asked);
        await this.#clock.wait(wait * 1000, signal, ending);
      },
    });
  }

  /** Waits while the server has asked to be let alone. */
  async #turn(...signals: (AbortSignal | undefined)[]): Promise<void> {
    for (;;) {
      const left = this.#notBefore - this.#clock.now();
      if (left <= 0 || signals.some((signal) => signal?.aborted)) return;
      await this.#clock.wait(left, ...signals);
    }
  }

  /** Counts a call, if the budget has one left. */
  #spend(): void {
    const { calls, tokens } = this.options.budget;
    const over =
      calls !== undefined && this.#used.calls >= calls
        ? `${calls} calls`
        : tokens !== undefined && this.#used.tokens >= tokens
          ? `${tokens} tokens`
          : undefined;
    if (over !== undefined) {
      throw new MahaloError(
        "E_ENDPOINT_BUDGET",
        `${this.options.baseUrl}: the budget of ${over} is used up`,
        {
          hint: "raise budget.calls or budget.tokens to continue",
        },
      );
    }
    this.#used.calls += 1;
  }

  /** One request within the time limit. */
  async #attempt<T>(
    url: string,
    body: string,
    schema: z.ZodType<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const { timeout } = this.options;
    const stop = new AbortController();
    const abort = (): void => stop.abort();
    const timer = setTimeout(abort, timeout * 1000);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "application/json",
          "user-agent": "mahalo",
          ...(this.#key === undefined ? {} : { authorization: `Bearer ${this.#key}` }),
        },
        body,
        // A redirect may lead anywhere, and the key must not go there.
        redirect: "manual",
        signal: stop.signal,
      });
      return await this.#read(url, response, body.length, schema);
    } catch (error) {
      if (error instanceof PassingFailure || error instanceof MahaloError) throw error;
      if (stop.signal.aborted)
        throw new PassingFailure(`no complete reply within ${timeout} s`, { cause: error });
      // Without fetch's own error, whose text may hold the key.
      throw new PassingFailure(`the connection failed: ${networkReason(error, this.#redact)}`);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  async #read<T>(url: string, response: Response, sent: number, schema: z.ZodType<T>): Promise<T> {
    const { status, headers } = response;
    if (status < 200 || status >= 300) {
      const said = await readBody(response, 64 * 1024).catch(() => "");
      throw statusFailure(
        url,
        status,
        said === tooLarge ? "" : said,
        {
          retryAfter: retryAfter(headers.get("retry-after"), this.#clock.now()),
          location: headers.get("location"),
        },
        this.#redact,
      );
    }
    if (!isJson(response)) {
      await dropBody(response);
      throw new PassingFailure(
        `answers with ${oneLine(this.#redact(headers.get("content-type") ?? "no content type"))} instead of JSON`,
      );
    }
    const text = await readBody(response, largestReply);
    if (text === tooLarge) {
      throw new MahaloError("E_ENDPOINT_HUGE", `${url}: the reply has more than ${largestReply} bytes`, {
        hint: "check that baseUrl is an OpenAI-compatible endpoint",
      });
    }
    try {
      // Out of every value, since a reply's text goes into results and files as well.
      const reply = redactValue(parseJson(text, z.unknown(), "the reply"), this.#redact);
      const usage = usageSchema.safeParse(reply);
      this.#used.tokens += usage.success
        ? usage.data.usage.total_tokens
        : Math.ceil((sent + text.length) / 4);
      const checked = schema.safeParse(reply);
      // Some endpoints report an error under a status of success.
      const error = checked.success ? "" : errorText(text, this.#redact);
      if (error !== "") throw new PassingFailure(`answers with an error: ${error}`);
      return checkValue(reply, schema, "the reply");
    } catch (error) {
      if (error instanceof MahaloError) throw new PassingFailure(oneLine(this.#redact(error.message)));
      throw error;
    }
  }
}
