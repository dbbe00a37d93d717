/** Options of an OpenAI-compatible endpoint, as recipes and commands declare it. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";

/** What is wrong with an endpoint's address, or undefined. */
const addressFault = (text: string): string | undefined => {
  if (!URL.canParse(text)) return "must be an address such as http://localhost:8000/v1";
  const { protocol, username, password, search, hash } = new URL(text);
  if (protocol !== "http:" && protocol !== "https:") return "must begin with http:// or https://";
  if (username || password)
    return "must not contain a user name or password; name the key's variable in apiKeyEnv";
  return search || hash ? "must end with its path, for example /v1" : undefined;
};

/** Options of {@link Endpoint}, one by one, for schemas that add their own. */
export const endpointShape = {
  baseUrl: z
    .string()
    .superRefine((text, context) => {
      const fault = addressFault(text);
      if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
    })
    .describe("Address of the endpoint, up to and including /v1: http://localhost:8000/v1"),
  model: z.string().min(1).describe("Name of the model, as the endpoint knows it."),
  apiKeyEnv: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "must be the name of an environment variable, never a key itself")
    .optional()
    .describe("Environment variable that holds the API key. Without it no key is sent."),
  timeout: z
    .number()
    .positive()
    .max(300)
    .default(60)
    .describe("Seconds for one call, from request to the reply's last byte."),
  tries: z.int().min(1).max(20).default(5).describe("Maximum number of tries of one call."),
  firstWait: z
    .number()
    .nonnegative()
    .default(0.5)
    .describe("Longest wait before the second try, in seconds; doubled for each further one."),
  longestWait: z
    .number()
    .nonnegative()
    .max(3600)
    .default(60)
    .describe("Longest wait between two tries, in seconds; an endpoint that asks for more ends the run."),
  concurrency: z.int().min(1).max(256).default(4).describe("Maximum number of calls at the same time."),
  budget: z
    .strictObject({
      calls: z.int().positive().optional().describe("Maximum number of requests, retries included."),
      tokens: z
        .int()
        .positive()
        .optional()
        .describe("No request is sent once replies have used this many tokens, prompts included."),
    })
    .default({})
    .describe("Limits on what a run may spend. Default: none."),
};

/** Options of an endpoint. */
export const endpointSchema = z.strictObject(endpointShape);

/** {@link endpointSchema} with defaults filled in. */
export type EndpointOptions = z.output<typeof endpointSchema>;

/** The part of the options that decides what an endpoint says; keys, patience and bounds are left out. */
export const endpointContent = ({ baseUrl, model }: EndpointOptions) => ({
  baseUrl: baseUrl.replace(/\/+$/, ""),
  model,
});

/**
 * The API key that the options name, or undefined where they name none.
 *
 * @throws MahaloError E_ENDPOINT_KEY where the variable is not set, or holds what no header may
 */
export const apiKey = (
  { baseUrl, apiKeyEnv }: EndpointOptions,
  environment: NodeJS.ProcessEnv,
): string | undefined => {
  if (apiKeyEnv === undefined) return undefined;
  const key = environment[apiKeyEnv]?.trim();
  if (key && /[^\x21-\x7e]/.test(key)) {
    const hint = "a key is printable ASCII without spaces; was it pasted completely, and without quotes?";
    throw new MahaloError("E_ENDPOINT_KEY", `${baseUrl}: the key in ${apiKeyEnv} cannot be sent`, { hint });
  }
  if (key) return key;
  throw new MahaloError(
    "E_ENDPOINT_KEY",
    `${baseUrl}: the environment variable ${apiKeyEnv} holds no API key`,
    {
      hint: `set ${apiKeyEnv}, or leave apiKeyEnv out if the endpoint needs no key`,
    },
  );
};
