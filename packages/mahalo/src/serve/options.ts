/** What a server may be told: its models, its address, its keys and its bounds, in one schema. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { checkValue } from "../core/json.ts";
import { weightsNames } from "../model/transformer/precision.ts";

const whole = z.int().positive();

/** Bounds on what one request may ask, and on what the server takes on. */
export const boundsSchema = z.strictObject({
  maxChoices: whole.max(128).default(16).describe("Largest n, times the prompts of one request."),
  maxTokens: whole.default(512).describe("Longest answer in tokens; also that of a request that names none."),
  maxRequestTokens: whole
    .default(65_536)
    .describe("Most tokens one request may have generated: prompts x choices x candidates x tokens."),
  maxBody: whole.default(2 ** 20).describe("Largest body in bytes."),
  maxStops: whole.default(4).describe("Most stop strings."),
  maxStopLength: whole.default(256).describe("Longest stop string in characters."),
  parallel: whole.max(256).default(16).describe("Answers decoded side by side, per model."),
  maxWaiting: z.int().nonnegative().default(64).describe("Answers that may wait for room; beyond it 429."),
  maxWaitingTokens: whole
    .default(131_072)
    .describe("Tokens of prompts that may wait for room; beyond it 429."),
  maxCandidates: whole
    .max(256)
    .default(16)
    .describe("Most candidates of a search's step, over all its branches."),
  searches: whole.max(64).default(2).describe("Answers searched for side by side."),
  maxScored: whole.max(1024).default(64).describe("Most answers that one request may have scored."),
  stalledAfter: z
    .number()
    .positive()
    .default(30)
    .describe("Seconds after which a client is cut that does not read its answer."),
  pingEvery: z
    .number()
    .positive()
    .default(10)
    .describe("Seconds of silence in a stream after which it gets a comment."),
  drainFor: z.number().nonnegative().default(30).describe("Seconds that closing waits for what runs."),
});

/** The bounds, defaults filled in. */
export type Bounds = z.output<typeof boundsSchema>;

/** Options of {@link serve}. */
export const serveOptionsSchema = z.strictObject({
  host: z
    .string()
    .min(1)
    .default("127.0.0.1")
    .describe("Address to listen on; others than 127.0.0.1 need a key."),
  port: z.int().min(0).max(65_535).default(8321).describe("0 takes a free one."),
  keys: z
    .array(z.string())
    .default([])
    .describe("Keys of which a client must send one; none: no key is asked for."),
  allowedHosts: z
    .array(z.string().min(1))
    .default([])
    .describe("Names that clients may call this server by, beside its address and localhost."),
  guides: z
    .array(z.string().min(1))
    .default([])
    .describe(
      "What may guide searches: `accuracy=runs/math/reward/accuracy/model`, or a judge such as `judge:math`.",
    ),
  compute: z
    .enum(["float32", "bfloat16"])
    .optional()
    .describe("Dtype to compute in. Default: bfloat16 where the processor has it."),
  weights: z.enum(weightsNames).optional().describe("How decoding holds the weights. Default: as compute."),
  maxCacheBytes: whole
    .optional()
    .describe("Bound on the memory of keys and values. Default: half of what is available."),
  bounds: boundsSchema.prefault({}),
  log: z
    .enum(["silent", "error", "warn", "info", "debug"])
    .default("info")
    .describe("What is written to standard error, as JSON lines."),
});

/** Options of {@link serve} as a caller gives them. */
export type ServeOptions = z.input<typeof serveOptionsSchema>;

/** Options with defaults filled in. */
export type CheckedServeOptions = z.output<typeof serveOptionsSchema>;

/** Keys that a header can carry as they are; of others only the place is told, since what is wrong may be half a secret. */
const checkKeys = (keys: readonly string[]): void => {
  const wrong = keys.findIndex((key) => !/^[\x21-\x7e]{8,512}$/.test(key));
  if (wrong < 0) return;
  throw new MahaloError("E_SERVE_OPTION", `serve: keys: key ${wrong + 1} cannot be sent`, {
    hint: "a key has 8 to 512 letters, digits and signs of ASCII, without blanks",
  });
};

/** @throws MahaloError E_SERVE_OPTION naming the field */
export const serveOptionsOf = (input: ServeOptions = {}): CheckedServeOptions => {
  const options = checkValue(input, serveOptionsSchema, "serve", { code: "E_SERVE_OPTION" });
  checkKeys(options.keys);
  return options;
};
