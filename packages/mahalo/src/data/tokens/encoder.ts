/** One prompt and its responses into token ids: the template's own text, cut to the limits, ended where a turn ends. */
import { MahaloError } from "@mahalo/torch";
import { zip } from "../../core/need.ts";
import type { Message } from "../rows/messages.ts";
import { type Reason, RowProblem } from "../rows/problems.ts";
import { type Prompt, promptMessages } from "../rows/rows.ts";
import type { ChatTemplate } from "./chat-template.ts";
import { fateOf } from "./lossless.ts";
import { cutConversation } from "./prompt-cut.ts";
import { TokenText } from "./token-text.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { turnEnd } from "./turn-end.ts";

/** What turns text into ids, and the limits. */
export type EncodeOptions = {
  tokenizer: Tokenizer;
  template: ChatTemplate;
  /**
   * A plain prompt becomes one user message in the chat template. Default true. When false, plain rows are learnt as
   * they are: prompt, response, end token. Conversations always go through the template.
   */
  chat?: boolean;
  /**
   * Longer prompts lose whole turns, the oldest first; system messages and the last turn stay, which itself loses its
   * beginning where that is not enough. Default 512 tokens.
   */
  maxPromptTokens?: number;
  /** Most tokens of prompt and response together; longer responses lose their end. Default 1024. */
  maxTokens?: number;
};

/** Default of {@link EncodeOptions.maxTokens}. */
export const defaultMaxTokens = 1024;

/** A prompt as it is asked: its text and its ids; without messages where it does not go through the template. */
type Asked = { ids: readonly number[]; text: string; messages: readonly Message[] | undefined };

/** A response with the name of its field: its text, or the whole turn where that is more. */
type Response = readonly [field: string, response: string | Message];

/** A prompt, and each response to it. */
export type EncodedRow = { prompt: number[]; responses: number[][] };

/** Template errors that are one row's fault; others, a loop or a syntax error, are the template's and stop the run. */
const rowFaults = new Map<string, Reason>([
  ["E_TEMPLATE_ROLE", "unknown-role"],
  ["E_TEMPLATE_REFUSED", "template-error"],
  ["E_TEMPLATE_FAILED", "template-error"],
  ["E_TEMPLATE_UNWRITTEN", "template-error"],
]);

/** How many letters two texts begin with alike. */
const commonLength = (a: string, b: string): number => {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
};

/** Encodes rows one by one, and keeps what was done to them that a user should be told. */
export class Encoder {
  readonly #tokenizer: Tokenizer;
  readonly #template: ChatTemplate;
  readonly #chat: boolean;
  readonly #maxPromptTokens: number;
  readonly #maxTokens: number;
  #notes = new Set<string>();
  #cutPrompt = false;
  #cutResponse = false;
  #changed = false;
  #checked: { asked: Asked; changed: boolean } | undefined;
  #last: { key: string; asked: Asked; cut: boolean } | undefined;

  /** @throws MahaloError E_DATA_LIMITS */
  constructor(options: EncodeOptions) {
    const { tokenizer, template, chat = true, maxPromptTokens = 512, maxTokens = defaultMaxTokens } = options;
    for (const [name, limit] of Object.entries({ maxPromptTokens, maxTokens })) {
      if (!Number.isSafeInteger(limit) || limit < 1) {
        throw new MahaloError("E_DATA_LIMITS", `data.${name}: ${limit} is not a positive integer`);
      }
    }
    this.#tokenizer = tokenizer;
    this.#template = template;
    this.#chat = chat;
    this.#maxPromptTokens = maxPromptTokens;
    this.#maxTokens = maxTokens;
  }

  /** What was cut, and what else to tell, since the last call. */
  takeCuts(): { prompt: boolean; response: boolean; changed: boolean; notes: ReadonlySet<string> } {
    const cuts = {
      prompt: this.#cutPrompt,
      response: this.#cutResponse,
      changed: this.#changed,
      notes: this.#notes,
    };
    this.#changed = false;
    this.#cutPrompt = false;
    this.#cutResponse = false;
    this.#notes = new Set();
    return cuts;
  }

  /** Ids of a prompt alone, as the model gets it before it answers. @throws RowProblem */
  prompt(prompt: Prompt): number[] {
    return [...this.#ask(prompt).ids];
  }

  /**
   * Ids of a prompt and of responses to it.
   *
   * The prompt's text is what the conversation with the opening of an answer and every answered conversation have in
   * common, as in TRL: nearly always all of the former. Some templates open an answer with more than they write before
   * one that is there, such as `<think>`; that belongs to no prompt then.
   *
   * @param responses each with the name of its field
   * @throws RowProblem
   */
  encode(prompt: Prompt, responses: readonly Response[]): EncodedRow {
    const asked = this.#ask(prompt);
    const { messages, text } = asked;
    this.#checkPrompt(asked);
    if (messages === undefined) {
      const end = this.#tokenizer.eosIds.slice(0, 1);
      const ids = responses.map(([field, response]) => {
        if (typeof response === "string") return [...this.#learnt(response, field), ...end];
        throw new RowProblem(
          "template-error",
          `${field}: is more than a text, which plain rows (data.chat: false) cannot hold`,
        );
      });
      return this.#fit(asked.ids, responses, ids);
    }
    const wholes = responses.map(([, response]) => {
      const turn =
        typeof response === "string" ? { role: "assistant" as const, content: response } : response;
      return this.#render([...messages, turn], false);
    });
    const shared = wholes.reduce(
      (length, whole) => Math.min(length, this.#sharedWith(whole, messages, text)),
      text.length,
    );
    const ids = zip(wholes, responses).map(([whole, [field]]) => this.#answerIds(whole.slice(shared), field));
    if (shared === text.length) return this.#fit(asked.ids, responses, ids);
    this.#notes.add(
      `the chat template opens an answer with ${JSON.stringify(text.slice(shared))}, but does not write that before these answers; they are trained without it`,
    );
    return this.#fit(this.#tokenizer.encode(text.slice(0, shared)), responses, ids);
  }

  #fit(prompt: readonly number[], responses: readonly Response[], ids: number[][]): EncodedRow {
    const room = this.#maxTokens - prompt.length;
    const fitting = zip(responses, ids).map(([[field], response]) => {
      if (response.length === 0) throw new RowProblem("empty-response", `${field}: has no token`);
      if (room <= 0) {
        throw new RowProblem(
          "response-cut-away",
          `${field}: the prompt's ${prompt.length} tokens leave none of ${this.#maxTokens}; raise data.maxTokens`,
        );
      }
      this.#cutResponse ||= response.length > room;
      return response.slice(0, room);
    });
    return { prompt: [...prompt], responses: fitting };
  }

  #ask(prompt: Prompt): Asked {
    // Rows of one prompt often come one after another, several pairs out of one row above all.
    const key = JSON.stringify(prompt);
    if (this.#last?.key !== key) this.#last = { key, ...this.#askAnew(prompt) };
    this.#cutPrompt ||= this.#last.cut;
    return this.#last.asked;
  }

  #askAnew(prompt: Prompt): { asked: Asked; cut: boolean } {
    const whole = this.#asked(prompt);
    if (whole.ids.length === 0) throw new RowProblem("empty-prompt", "prompt: has no token");
    if (whole.ids.length <= this.#maxPromptTokens) return { asked: whole, cut: false };
    if (whole.messages === undefined) {
      // What the tokenizer puts before every text stays before what is left of this one.
      const begin = this.#tokenizer.encode("", { special: true });
      const kept = begin.every((id, index) => whole.ids[index] === id) ? begin : [];
      const room = this.#maxPromptTokens - kept.length;
      if (room <= 0) throw this.#cutAway();
      return { asked: { ...whole, ids: [...kept, ...whole.ids.slice(-room)] }, cut: true };
    }
    let asked: Asked | undefined;
    cutConversation(whole.messages, (messages) => {
      const candidate = this.#asked([...messages]);
      if (candidate.ids.length > this.#maxPromptTokens) return false;
      asked = candidate;
      return true;
    });
    if (asked === undefined) throw this.#cutAway();
    return { asked, cut: true };
  }

  #cutAway(): RowProblem {
    return new RowProblem(
      "prompt-cut-away",
      `prompt: its header alone fills the ${this.#maxPromptTokens} tokens of data.maxPromptTokens; raise that`,
    );
  }

  #asked(prompt: Prompt): Asked {
    const messages = typeof prompt === "string" && !this.#chat ? undefined : promptMessages(prompt);
    const text = messages === undefined ? String(prompt) : this.#render(messages, true);
    return { ids: this.#tokenizer.encode(text, { special: messages === undefined }), text, messages };
  }

  /** How many letters of a prompt's text an answered conversation begins with. */
  #sharedWith(whole: string, messages: readonly Message[], text: string): number {
    if (whole.startsWith(text)) return text.length;
    const shared = commonLength(text, whole);
    const unanswered = commonLength(text, this.#render(messages, false));
    const said = messages.at(-1)?.content.trim() ?? "";
    // All that was said must be in what they have in common.
    const heard = text.slice(0, unanswered).lastIndexOf(said);
    const hidden = heard < 0 && text.includes(said);
    if (shared === 0 || hidden || shared < Math.max(unanswered, heard + said.length)) throw this.#differs();
    return this.#tokenBefore(unanswered, text, shared);
  }

  /** The last place up to `limit` where a token of the answer's opening, which begins at `start`, ends. */
  #tokenBefore(start: number, text: string, limit: number): number {
    const pieces = new TokenText(this.#tokenizer, { skipSpecial: false });
    let place = start;
    for (const id of this.#tokenizer.encode(text.slice(start))) {
      const { length } = pieces.push(id);
      if (place + length > limit) return place;
      place += length;
    }
    return limit;
  }

  /** The error for a conversation that an answer changes: the row's where a plain one stays as it is. */
  #differs(): Error {
    const where = this.#template.where ?? "the chat template";
    const question: Message = { role: "user", content: "Hi" };
    const asked = this.#render([question], true);
    const answered = this.#render([question, { role: "assistant", content: "Hello" }], false);
    if (commonLength(asked, answered) >= commonLength(asked, this.#render([question], false))) {
      return new RowProblem(
        "prompt-not-prefix",
        `${where} writes what comes before the answer differently once the answer is there`,
      );
    }
    return new MahaloError(
      "E_TEMPLATE_PROMPT",
      `${where}: the chat template writes every conversation differently once it is answered, so answers cannot be separated from prompts`,
      {
        hint: "use a template that writes a prompt the same way with and without its answer; the rows are fine",
      },
    );
  }

  /** Ids of a text that is trained. */
  #learnt(text: string, field: string): number[] {
    const ids = this.#tokenizer.encode(text);
    const changed = this.#isChanged(text, field, ids);
    this.#changed ||= changed;
    return ids;
  }

  /** Checks a prompt once, however many rows have it. */
  #checkPrompt(asked: Asked): void {
    if (this.#checked?.asked !== asked) {
      const ids = asked.messages === undefined ? this.#tokenizer.encode(asked.text) : asked.ids;
      this.#checked = { asked, changed: this.#isChanged(asked.text, "prompt", ids) };
    }
    this.#changed ||= this.#checked.changed;
  }

  /** Whether the tokenizer writes a text otherwise. @throws RowProblem `unknown-character` where it cannot write it */
  #isChanged(text: string, field: string, ids: readonly number[]): boolean {
    const fate = fateOf(this.#tokenizer, text, ids);
    if (fate.kind !== "lost") return fate.kind === "changed";
    const code = fate.character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0");
    throw new RowProblem(
      "unknown-character",
      `${field}: the tokenizer has no token for "${fate.character}" (U+${code})`,
    );
  }

  /** Ids of an answer as the template writes it, up to and with the end of the turn; nothing behind that is learnt. */
  #answerIds(written: string, field: string): number[] {
    const { eosIds } = this.#tokenizer;
    const end = turnEnd(this.#tokenizer, this.#template);
    const plain = end !== undefined && written.endsWith(end.tail);
    if (plain && end.id !== undefined) {
      return this.#learnt(written.slice(0, written.length - end.tail.length) + end.text, field);
    }
    const ids = this.#learnt(written, field);
    const last = ids.findLastIndex((id) => id === end?.id || eosIds.includes(id)) + 1;
    if (last > 0 && this.#tokenizer.decode(ids.slice(last)).trim() === "") return ids.slice(0, last);
    const [id] = eosIds;
    const where = this.#template.where;
    const silent = `the chat template${where === undefined ? "" : ` (${where})`} does not write an end of an answer`;
    if (id === undefined) {
      this.#notes.add(`${silent}, and the model has no end token; answers end only at their length limit`);
      return ids;
    }
    this.#notes.add(`${silent}, so ${this.#tokenizer.decode([id])} is added after what is trained`);
    const kept = plain ? written.slice(0, written.length - end.tail.length) + end.text : written.trimEnd();
    return [...this.#tokenizer.encode(kept), id];
  }

  #render(messages: readonly Message[], addGenerationPrompt: boolean): string {
    try {
      return this.#template.render(messages, { addGenerationPrompt });
    } catch (error) {
      const reason = error instanceof MahaloError ? rowFaults.get(error.code) : undefined;
      if (reason === undefined) throw error;
      throw new RowProblem(reason, error instanceof Error ? error.message : String(error));
    }
  }
}
