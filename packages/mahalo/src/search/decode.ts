/** The library's call for one answer: a request in, what happens out. */
import { throwIfAborted } from "../core/interrupt.ts";
import { cachedDecoder } from "../decode/decoder.ts";
import { Engine, type EngineOptions } from "../decode/engine.ts";
import type { GenerateRequest } from "../decode/request.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import type { DecodeEvent } from "./events.ts";
import { type SearchRequest, type SearchTools, search } from "./search.ts";

/** Options of {@link decode}. */
export type DecodeOptions = Pick<EngineOptions, "maxBytes" | "decoder"> & {
  /** Stops between two steps with an error. */
  signal?: AbortSignal | undefined;
  /** An engine to answer with, which goes on afterwards: others share its steps and its memory. Default: one of its own. */
  engine?: Engine | undefined;
  /** Search for the answer instead of sampling it; a search has rows of its own, not the engine's. */
  guide?: Guide | undefined;
};

/** What guides a search, and how it goes. */
export type Guide = Pick<SearchRequest, "prompt" | "reference" | "search" | "guidance"> &
  Pick<SearchTools, "scorer" | "vote">;

/** What happens during a guided search. */
async function* guided(
  model: LanguageModel,
  request: GenerateRequest,
  { scorer, vote, ...asked }: Guide,
  { signal, maxBytes, decoder = (base) => cachedDecoder(base, { maxBytes }) }: DecodeOptions,
): AsyncGenerator<DecodeEvent, void, undefined> {
  let tokens = 0;
  const { step: _, logprobs: __, topLogprobs: ___, ...rest } = request;
  for await (const event of search(model, { ...rest, ...asked }, { scorer, vote, signal, decoder })) {
    if (event.type === "done") {
      yield event;
      continue;
    }
    const kept = event.candidates.filter((candidate) => candidate.kept);
    const [only, ...others] = kept;
    tokens += Math.max(0, ...kept.map(({ ids }) => ids.length));
    yield {
      type: "step",
      steps: event.step,
      tokens,
      candidates: event.candidates,
      ...(only !== undefined && others.length === 0 ? { text: only.text } : {}),
    };
  }
}

/**
 * Answers one request and tells what happens: its start, tokens, whole steps where the request declares a boundary, and
 * the end.
 * With a guide it searches: steps with their candidates and scores, and at the end the tree.
 *
 * @throws MahaloError E_INTERRUPTED, and what a wrong request throws, before anything is decoded
 *
 * @example
 * for await (const event of decode(model, { ids, mix: { accuracy: 0.7, engagement: 0.3 } })) {
 *   if (event.type === "token") process.stdout.write(event.text);
 * }
 */
export async function* decode(
  model: LanguageModel,
  request: GenerateRequest,
  { signal, engine, guide, ...options }: DecodeOptions = {},
): AsyncGenerator<DecodeEvent, void, undefined> {
  throwIfAborted(signal, "generating");
  if (guide !== undefined) {
    yield* guided(model, request, guide, { ...options, signal });
    return;
  }
  const host = engine ?? new Engine(model, { ...options, batchSize: 1 });
  try {
    const handle = host.submit(request);
    // Whoever stops reading, and an abort, cancel the request.
    for await (const event of handle) {
      yield event;
      throwIfAborted(signal, "generating");
    }
  } finally {
    if (engine === undefined) host.close();
  }
}
