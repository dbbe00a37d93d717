/** Errors as OpenAI's clients know them: a status, and a body of message, type, param and code. */
import { MahaloError } from "@mahalo/torch";

/** Types of errors, as OpenAI names them. */
type ErrorType =
  | "invalid_request_error"
  | "authentication_error"
  | "permission_error"
  | "not_found_error"
  | "rate_limit_error"
  | "server_error"
  | "service_unavailable_error";

/** Statuses that the server answers with. */
export type ErrorStatus = 400 | 401 | 403 | 404 | 405 | 408 | 413 | 415 | 429 | 431 | 500 | 503;

const types: Readonly<Record<ErrorStatus, ErrorType>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  405: "invalid_request_error",
  408: "invalid_request_error",
  413: "invalid_request_error",
  415: "invalid_request_error",
  429: "rate_limit_error",
  431: "invalid_request_error",
  500: "server_error",
  503: "service_unavailable_error",
};

/** Body of an error. */
export type ErrorBody = {
  error: { message: string; type: ErrorType; param: string | null; code: string | null };
};

/** A refusal on its way to the client. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: ErrorStatus;
  readonly code: string | null;
  readonly param: string | null;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: ErrorStatus,
    message: string,
    {
      code = null,
      param = null,
      headers = {},
    }: { code?: string | null; param?: string | null; headers?: Record<string, string> } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
    this.headers = headers;
  }

  /** The body. */
  get body(): ErrorBody {
    return { error: { message: this.message, type: types[this.status], param: this.param, code: this.code } };
  }
}

/** A field that cannot be what it is. */
export const badField = (param: string, message: string, code = "invalid_value"): ApiError =>
  new ApiError(400, message, { code, param });

/** Seconds after which a client may ask again. */
const retryAfter = 1;

/** A refusal that passes by. */
const later = (status: 429 | 503, message: string, code: string): ApiError =>
  new ApiError(status, message, {
    code,
    headers: { "retry-after": String(retryAfter), "x-should-retry": "true" },
  });

/** The server takes no more for now. */
export const tooBusy = (message: string): ApiError => later(429, message, "server_busy");

/** The server is loading or about to stop. */
export const notReady = (message: string): ApiError => later(503, message, "not_ready");

/** Fields of requests that errors of the engine speak of, by their code. */
const paramsByCode = new Map<string, string>([
  ["E_SAMPLING", "temperature"],
  ["E_DATA_ROW", "messages"],
  ["E_TOKEN_ID", "prompt"],
  ["E_GUIDE", "guides"],
]);

/** Codes that OpenAI's clients know, for ours that mean the same. */
const codes = new Map<string, string>([
  ["E_GENERATE_CONTEXT", "context_length_exceeded"],
  ["E_KV_MEMORY", "context_length_exceeded"],
  ["E_MODEL_NOT_SERVED", "model_not_found"],
]);

const ourFailures: ReadonlySet<string> = new Set(["E_INTERNAL", "E_LOGITS", "E_DECODE_ROW"]);

/** A MahaloError's message with its hint, without the place that only files have. */
const told = ({ message, hint }: MahaloError): string => {
  const text = message.replace(/^request: /, "");
  return hint === undefined ? text : `${text.replace(/\.$/, "")}; ${hint}`;
};

/**
 * What a client is told of an error. Of failures that are ours it learns that there was one; the log has the rest.
 */
export const asApiError = (error: unknown): ApiError => {
  if (error instanceof ApiError) return error;
  if (error instanceof MahaloError) {
    if (error.code === "E_SERVER_BUSY") return tooBusy(told(error));
    // Nobody else hears of an interruption but those whom a closing server waits for no longer.
    if (error.code === "E_INTERRUPTED") return notReady("the server is about to stop");
    if (error.code === "E_ENGINE_GONE") return notReady(error.message);
    if (error.code === "E_MODEL_NOT_SERVED")
      return new ApiError(404, told(error), { code: "model_not_found", param: "model" });
    if (!ourFailures.has(error.code)) {
      const param = error.code.startsWith("E_MIX")
        ? "objective_weights"
        : (paramsByCode.get(error.code) ?? null);
      return new ApiError(400, told(error), {
        code: codes.get(error.code) ?? error.code.toLowerCase().replace(/^e_/, ""),
        param,
      });
    }
  }
  return new ApiError(500, "the server failed to answer; its log says why", { code: "internal_error" });
};
