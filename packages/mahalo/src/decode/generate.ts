/** Answers requests side by side: rows join as others leave, and each is what it would be alone. */
import { setImmediate as nextTick } from "node:timers/promises";
import { MahaloError, scope } from "@mahalo/torch";
import { throwIfAborted } from "../core/interrupt.ts";
import type { LanguageModel } from "../model/load.ts";
import { cachedDecoder, type Decoder } from "./decoder.ts";
import { joinRows } from "./join.ts";
import { nextTokens } from "./next-tokens.ts";
import { Answer, type Completion, type GenerateRequest } from "./request.ts";

/** What happens while answers are made; `index` is the request's place in the list. */
export type GenerateEvent =
  | { type: "token"; index: number; id: number; text: string }
  | { type: "done"; index: number; completion: Completion };

/** Options of {@link generate}. */
export type GenerateOptions = {
  /** Requests answered side by side. Default 16. */
  batchSize?: number | undefined;
  /** Stops between two steps with an error. */
  signal?: AbortSignal | undefined;
  /** What holds the rows; default with a key-value cache. */
  decoder?: ((model: LanguageModel) => Decoder) | undefined;
  /**
   * Prompts that begin alike are read once: each takes over what another row holds of it. Default false. Worth it for
   * several answers to a prompt, or prompts that go on from each other; ask for the longest first.
   */
  sharePrefixes?: boolean | undefined;
};

type Row = { index: number; answer: Answer };

const checkBatchSize = (batchSize: number): void => {
  if (Number.isSafeInteger(batchSize) && batchSize > 0) return;
  throw new MahaloError("E_BATCH_SIZE", `batchSize: ${batchSize} is not a positive whole number`);
};

/** Takes one token in and says what happened. */
const advance = ({ index, answer }: Row, id: number): { events: GenerateEvent[]; done: boolean } => {
  const { text, finish } = answer.accept(id);
  const events: GenerateEvent[] = [{ type: "token", index, id, text }];
  if (finish !== undefined) events.push({ type: "done", index, completion: answer.completion(finish) });
  return { events, done: finish !== undefined };
};

/**
 * Answers requests, and tells of every token as it comes.
 *
 * At most `batchSize` requests decode together; when one ends the next joins. A row's tokens depend on its own request
 * alone: its sampling has its own random stream, and its mix its own head (rows of one mix share the product).
 *
 * @throws MahaloError E_BATCH_SIZE, E_INTERRUPTED, E_TOKEN_ID, and what a wrong request throws, before anything is decoded
 *
 * @example
 * for await (const event of generate(model, [{ ids, mix: { accuracy: 1 } }])) {
 *   if (event.type === "token") process.stdout.write(event.text);
 * }
 */
export async function* generate(
  model: LanguageModel,
  requests: readonly GenerateRequest[],
  { batchSize = 16, signal, decoder: open = cachedDecoder, sharePrefixes = false }: GenerateOptions = {},
): AsyncGenerator<GenerateEvent, void, undefined> {
  checkBatchSize(batchSize);
  const waiting: Row[] = requests.map((request, index) => ({
    index,
    answer: new Answer(model, request, `request ${index + 1}`),
  }));
  waiting.reverse();
  const decoder = open(model);
  // Row r of the decoder is answered by rows[r].
  const rows: Row[] = [];
  try {
    while (rows.length > 0 || waiting.length > 0) {
      throwIfAborted(signal, "generating");
      const events: GenerateEvent[] = [];
      const finished = new Set<number>();
      const take = (at: number, row: Row, id: number): void => {
        const { events: own, done } = advance(row, id);
        events.push(...own);
        if (done) finished.add(at);
      };
      scope(() => {
        if (rows.length === 0) return;
        const answers = rows.map(({ answer }) => answer);
        const ids = nextTokens(model, decoder.step(answers.map(({ ids }) => ids.at(-1) ?? 0)), answers);
        for (const [at, row] of rows.entries()) take(at, row, ids[at] ?? 0);
      });
      const leave = (): void => {
        for (const at of [...finished].sort((a, b) => b - a)) {
          if (sharePrefixes) decoder.park(at);
          else decoder.removeRow(at);
          const last = rows.pop();
          if (last !== undefined && at < rows.length) rows[at] = last;
        }
        finished.clear();
      };
      leave();
      const joining = waiting.splice(Math.max(0, waiting.length - batchSize + rows.length)).reverse();
      scope(() => {
        const prompts = joining.map(({ answer }) => answer.promptIds);
        for (const joined of joinRows(decoder, prompts, { share: sharePrefixes })) {
          const own = joined.prompts.flatMap((index) => joining[index] ?? []);
          const ids = nextTokens(
            model,
            joined.hidden_ND,
            own.map(({ answer }) => answer),
          );
          for (const [index, row] of own.entries()) {
            const at = joined.rows[index] ?? 0;
            rows[at] = row;
            take(at, row, ids[index] ?? 0);
          }
        }
      });
      leave();
      yield* events;
      // Lets timers and signals through; a step itself never waits.
      await nextTick();
    }
  } finally {
    decoder.dispose();
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
