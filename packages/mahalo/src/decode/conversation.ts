/** A conversation with a model: turns that share their key-value cache, and a mix that may change between them. */
import { setImmediate as nextTick } from "node:timers/promises";
import { scope } from "@mahalo/torch";
import { throwIfAborted } from "../core/interrupt.ts";
import type { Message } from "../data/messages.ts";
import type { Mix } from "../model/heads.ts";
import type { LanguageModel } from "../model/load.ts";
import { cachedDecoder, type Decoder } from "./decoder.ts";
import { nextTokens } from "./next-tokens.ts";
import { commonLength } from "./prefix-cache.ts";
import { Answer, type Completion, type GenerateRequest } from "./request.ts";

/** Options of a {@link Conversation}. */
export type ConversationOptions = Omit<GenerateRequest, "ids"> & {
  /** First message, for the template's system role. */
  system?: string | undefined;
  /** What holds the tokens; default with a key-value cache. */
  decoder?: ((model: LanguageModel) => Decoder) | undefined;
};

/** One dialogue: only tokens that the cache does not hold already pass through the model. */
export class Conversation {
  readonly messages: Message[] = [];
  /** Weights of the next reply; undefined for all alike. */
  mix: Mix | undefined;
  readonly #model: LanguageModel;
  readonly #options: ConversationOptions;
  readonly #decoder: Decoder;
  readonly #row: number;

  constructor(model: LanguageModel, options: ConversationOptions = {}) {
    this.#model = model;
    this.#options = options;
    this.mix = options.mix;
    this.#decoder = (options.decoder ?? cachedDecoder)(model);
    this.#row = this.#decoder.addRow();
    this.reset();
  }

  /** Forgets all turns; the system message stays. */
  reset(): void {
    this.messages.length = 0;
    const { system } = this.#options;
    if (system !== undefined) this.messages.push({ role: "system", content: system });
  }

  /**
   * Says something and streams the reply; the turn counts once the reply has ended.
   *
   * @returns the reply
   * @throws MahaloError E_INTERRUPTED when `signal` is aborted (the turn is then forgotten), E_GENERATE_CONTEXT when the
   *   conversation no longer fits, and what a wrong mix throws
   */
  async *say(text: string, signal?: AbortSignal): AsyncGenerator<string, Completion, undefined> {
    const said: Message = { role: "user", content: text };
    const rendered = this.#model.template.render([...this.messages, said], { addGenerationPrompt: true });
    const turn = this.messages.filter(({ role }) => role === "user").length;
    const answer = new Answer(
      this.#model,
      {
        ...this.#options,
        ids: this.#model.codec.encode(rendered),
        mix: this.mix,
        // A question asked twice may be answered in two ways.
        seed: (this.#options.seed ?? 0) + turn,
      },
      "conversation",
    );
    let next: readonly number[] = this.#unread(answer.promptIds);
    for (;;) {
      throwIfAborted(signal, "generating");
      const { id, piece, finish } = this.#step(answer, next);
      next = [id];
      if (piece !== "") yield piece;
      if (finish !== undefined) {
        const completion = answer.completion(finish);
        this.messages.push(said, { role: "assistant", content: completion.text });
        return completion;
      }
      await nextTick();
    }
  }

  /** Rolls the cache back to what it shares with the prompt, and gives the tokens still to be read: at least the last. */
  #unread(promptIds: readonly number[]): readonly number[] {
    const shared = Math.min(commonLength(this.#decoder.ids(this.#row), promptIds), promptIds.length - 1);
    this.#decoder.rollback(this.#row, shared);
    return promptIds.slice(shared);
  }

  #step(answer: Answer, ids: readonly number[]) {
    return scope(() => {
      const hidden_RD =
        ids.length === 1 ? this.#decoder.step(ids) : this.#decoder.extend([{ row: this.#row, ids }]);
      const [id = 0] = nextTokens(this.#model, hidden_RD, [answer]);
      const { text, finish } = answer.accept(id);
      return { id, piece: text, finish };
    });
  }

  /** Frees the cache. */
  dispose(): void {
    this.#decoder.dispose();
  }
}
