/** A conversation with a model: turns that share their key-value cache, and a mix that may change between them. */
import { MahaloError } from "@mahalo/torch";
import { throwIfAborted } from "../core/interrupt.ts";
import type { Message } from "../data/rows/messages.ts";
import type { Decoder } from "../decode/decoder.ts";
import { Engine } from "../decode/engine.ts";
import type { MixPlan } from "../decode/mix-schedule.ts";
import type { Completion, GenerateRequest } from "../decode/request.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { decode, type Guide } from "./decode.ts";
import type { DecodeEvent } from "./events.ts";
import { carriesOnePath } from "./options.ts";
import type { SearchTree } from "./tree.ts";

/** Options of a {@link Conversation}. */
export type ConversationOptions = Omit<GenerateRequest, "ids"> & {
  /** First message, for the template's system role. */
  system?: string | undefined;
  /** What holds the tokens; default with a key-value cache. */
  decoder?: ((model: LanguageModel) => Decoder) | undefined;
  /** An engine to answer with, which the conversation shares and leaves open. Default: one of its own. */
  engine?: Engine | undefined;
  /** What guides the replies; they then come step by step, or whole where a search carries several branches. */
  guide?: Omit<Guide, "prompt"> | undefined;
};

/** A reply, and what a search for it tried. */
export type Reply = Completion & { tree?: SearchTree };

/** One dialogue: only tokens that no row of its engine holds already pass through the model. */
export class Conversation {
  readonly messages: Message[] = [];
  /** Weights of the next reply, or phases of it; undefined for all alike. */
  mix: MixPlan | undefined;
  readonly #model: LanguageModel;
  readonly #options: ConversationOptions;
  readonly #engine: Engine;

  constructor(model: LanguageModel, options: ConversationOptions = {}) {
    const { engine, decoder, mix } = options;
    this.#model = model;
    this.#options = options;
    this.mix = mix;
    this.#engine = engine ?? new Engine(model, { decoder });
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
  async *say(text: string, signal?: AbortSignal): AsyncGenerator<string, Reply, undefined> {
    const said: Message = { role: "user", content: text };
    const rendered = this.#model.template.render([...this.messages, said], { addGenerationPrompt: true });
    const turn = this.messages.filter(({ role }) => role === "user").length;
    const { system: _system, decoder, engine: _engine, guide, ...settings } = this.#options;
    const request: GenerateRequest = {
      ...settings,
      ids: this.#model.tokenizer.encode(rendered),
      mix: this.mix,
      // A question asked twice may be answered in two ways.
      seed: (settings.seed ?? 0) + turn,
    };
    throwIfAborted(signal, "generating");
    const prompt = [...this.messages, said];
    const events: AsyncIterable<DecodeEvent> =
      guide === undefined
        ? this.#engine.submit(request, "conversation")
        : decode(this.#model, request, { guide: { ...guide, prompt }, signal, decoder });
    let given = 0;
    for await (const event of events) {
      if (event.type === "done") {
        if (guide !== undefined) yield event.completion.text.slice(given);
        this.messages.push(said, { role: "assistant", content: event.completion.text });
        return event.tree === undefined ? event.completion : { ...event.completion, tree: event.tree };
      }
      const text = event.type === "start" ? undefined : event.text;
      // Steps of several branches give no text, and what came before of one that loses would be wrong.
      if (text !== undefined && text !== "" && (guide === undefined || carriesOnePath(guide.search))) {
        given += text.length;
        yield text;
      }
      throwIfAborted(signal, "generating");
    }
    throw new MahaloError("E_INTERRUPTED", "the engine was closed in the middle of a reply", {
      exitStatus: 1,
    });
  }

  /** Frees the cache, unless the engine is shared. */
  dispose(): void {
    if (this.#options.engine === undefined) this.#engine.close();
  }
}
