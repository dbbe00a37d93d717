/** Clients that ask a server side by side, each one request after the other, and what they saw. */
import { z } from "zod";
import { element } from "../../packages/mahalo/src/core/need.ts";
import type { Mix } from "../../packages/mahalo/src/model/heads/heads.ts";
import type { BenchServer } from "./servers.ts";

/** What is asked. */
export type LoadSettings = {
  clients: number;
  /** Requests of each client. */
  requests: number;
  /** Tokens of each answer. */
  newTokens: number;
  prompts: readonly string[];
  /** Mix of a client's requests; undefined for a server that knows none. */
  mixOf?: ((client: number) => Mix) | undefined;
};

/** What one request saw. */
export type Seen = {
  /** Seconds until its first piece of text, and until its end. */
  first: number;
  seconds: number;
  tokens: number;
};

/** What all clients saw. */
export type Load = { seen: readonly Seen[]; seconds: number };

/** Asks once, as a stream. @throws Error with what the server says where it refuses */
const ask = async (
  { url, model, endless }: BenchServer,
  content: string,
  newTokens: number,
  mix: Mix | undefined,
): Promise<Seen> => {
  const begun = performance.now();
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model,
      messages: [{ role: "user", content }],
      max_tokens: newTokens,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
      ...endless,
      ...(mix === undefined ? {} : { objective_weights: mix }),
    }),
  });
  if (!response.ok || response.body === null)
    throw new Error(`status ${response.status}: ${await response.text()}`);
  // As little as can be while the server works: the client's time is taken from the same processors.
  const decoder = new TextDecoder();
  let first: number | undefined;
  let text = "";
  for await (const bytes of response.body) {
    text += decoder.decode(bytes, { stream: true });
    if (first === undefined && /"content": ?"[^"]/.test(text)) first = performance.now();
  }
  const end = performance.now();
  return { first: ((first ?? end) - begun) / 1000, seconds: (end - begun) / 1000, tokens: tokensIn(text) };
};

const chunkSchema = z.looseObject({
  choices: z
    .array(z.looseObject({ delta: z.looseObject({ content: z.string().nullish() }).nullish() }))
    .nullish(),
  usage: z.looseObject({ completion_tokens: z.int() }).nullish(),
});

/** Tokens of a stream: what its usage says, else its pieces. */
const tokensIn = (text: string): number => {
  const chunks = text
    .split("\n\n")
    .flatMap((event) => (event.startsWith("data: {") ? [chunkSchema.parse(JSON.parse(event.slice(6)))] : []));
  const told = chunks.flatMap(({ usage }) => usage?.completion_tokens ?? []);
  const pieces = chunks.filter(({ choices }) => choices?.some(({ delta }) => Boolean(delta?.content)));
  return told.at(-1) ?? pieces.length;
};

/** Runs a load. */
export const runLoad = async (
  server: BenchServer,
  { clients, requests, newTokens, prompts, mixOf }: LoadSettings,
): Promise<Load> => {
  const begun = performance.now();
  const seen = await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      const own: Seen[] = [];
      for (let request = 0; request < requests; request++) {
        const prompt = element(prompts, (client * requests + request) % prompts.length, "prompt");
        own.push(await ask(server, prompt, newTokens, mixOf?.(client)));
      }
      return own;
    }),
  );
  return { seen: seen.flat(), seconds: (performance.now() - begun) / 1000 };
};

/** Middle value. */
const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? element(sorted, half)
    : (element(sorted, half - 1) + element(sorted, half)) / 2;
};

/** Figures of a load: requests and tokens a second over all clients, and the median time to a first token. */
export const figuresOf = ({ seen, seconds }: Load): { requests: number; tokens: number; first: number } => ({
  requests: seen.length / seconds,
  tokens: seen.reduce((sum, { tokens }) => sum + tokens, 0) / seconds,
  first: median(seen.map(({ first }) => first)),
});
