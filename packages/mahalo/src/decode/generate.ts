/** Answers a list of requests side by side: rows join as others leave, and each is what it would be alone. */
import { throwIfAborted } from "../core/interrupt.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import type { AnswerEvent } from "./events.ts";
import type { Completion, GenerateRequest } from "./request.ts";

/** What happens while answers are made; `index` is the request's place in the list. */
export type GenerateEvent = AnswerEvent & { index: number };

/** Options of {@link generate}. */
export type GenerateOptions = Omit<EngineOptions, "sharePrefixes"> & {
  /** Stops between two steps with an error. */
  signal?: AbortSignal | undefined;
  /**
   * Prompts that begin alike are read once: each takes over what another row holds of it. Default false. Worth it for
   * several answers to a prompt, or prompts that go on from each other; ask for the longest first.
   */
  sharePrefixes?: boolean | undefined;
};

/**
 * Answers requests, and tells of every token as it comes.
 *
 * At most `batchSize` requests decode together; when one ends the next joins. A row's tokens depend on its own request
 * alone: its sampling has its own random stream, and its mix its own head (rows of one mix share the product).
 *
 * @throws MahaloError E_BATCH_SIZE, E_INTERRUPTED, E_KV_MEMORY for a request that could never fit, and what a wrong
 *   request throws, before anything is decoded
 *
 * @example
 * for await (const event of generate(model, [{ ids, mix: { accuracy: 1 } }])) {
 *   if (event.type === "token") process.stdout.write(event.text);
 * }
 */
export async function* generate(
  model: LanguageModel,
  requests: readonly GenerateRequest[],
  { signal, sharePrefixes = false, ...options }: GenerateOptions = {},
): AsyncGenerator<GenerateEvent, void, undefined> {
  const engine = new Engine(model, { ...options, sharePrefixes });
  try {
    const events: GenerateEvent[] = [];
    const handles = requests.map((request, index) =>
      engine.submit(request, `request ${index + 1}`, (event) => events.push({ ...event, index })),
    );
    let open = handles;
    while (open.length > 0) {
      throwIfAborted(signal, "generating");
      await engine.turn();
      yield* events.splice(0);
      for (const handle of open) if (handle.over) handle.throwIfFailed();
      open = open.filter(({ over }) => !over);
    }
  } finally {
    engine.close();
  }
}

/** Answers requests and gives the completions in the order of the requests; errors as in {@link generate}. */
export const generateAll = async (
  model: LanguageModel,
  requests: readonly GenerateRequest[],
  options: GenerateOptions & { onCompletion?: (index: number, completion: Completion) => void } = {},
): Promise<Completion[]> => {
  const completions: Completion[] = [];
  for await (const event of generate(model, requests, options)) {
    if (event.type !== "done") continue;
    completions[event.index] = event.completion;
    options.onCompletion?.(event.index, event.completion);
  }
  return completions;
};
