/** The library's call for one answer: a request in, what happens out. */
import { throwIfAborted } from "../core/interrupt.ts";
import type { LanguageModel } from "../model/load.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import type { DecodeEvent } from "./events.ts";
import type { GenerateRequest } from "./request.ts";

/** Options of {@link decode}. */
export type DecodeOptions = Pick<EngineOptions, "maxBytes" | "decoder"> & {
  /** Stops between two steps with an error. */
  signal?: AbortSignal | undefined;
  /** An engine to answer with, which goes on afterwards: others share its steps and its memory. Default: one of its own. */
  engine?: Engine | undefined;
};

/**
 * Answers one request and tells what happens: tokens, whole steps where the request declares a boundary, and the end.
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
  { signal, engine, ...options }: DecodeOptions = {},
): AsyncGenerator<DecodeEvent, void, undefined> {
  throwIfAborted(signal, "generating");
  const host = engine ?? new Engine(model, { ...options, batchSize: 1 });
  try {
    const job = host.submit(request);
    // Whoever stops reading, and an abort, cancel the request.
    for await (const event of job) {
      yield event;
      throwIfAborted(signal, "generating");
    }
  } finally {
    if (engine === undefined) host.close();
  }
}
