/** Chat templates: a conversation in, the text a model was trained on out, within a time limit. */
import { MahaloError } from "@mahalo/torch";
import { need } from "../../core/need.ts";
import { didYouMean } from "../../core/suggest.ts";
import { type Message, roles, toolsOf } from "../rows/messages.ts";
import { type RenderAnswer, renderInThread } from "./render-thread.ts";
import { formsForTemplate, unwritten } from "./template-messages.ts";

/** Options of {@link ChatTemplate.render}. */
export type RenderOptions = {
  /** End with the opening of an assistant's turn, so that the model answers. Default false. */
  addGenerationPrompt?: boolean;
  /** Further names for the template, for example `{ enable_thinking: false }`. Plain data. */
  variables?: Record<string, unknown>;
};

/** Writes conversations as text. */
export type ChatTemplate = {
  /** The Jinja source; goes into saved model folders as it is. */
  readonly text: string;
  /** What errors call the template: its file. */
  readonly where?: string;
  /**
   * @throws MahaloError E_TEMPLATE_ROLE (unknown role), E_TEMPLATE_REFUSED (the template raised an exception),
   *   E_TEMPLATE_UNWRITTEN (it leaves tools, their calls or their answers out), E_TEMPLATE_SYNTAX, E_TEMPLATE_FAILED, E_TEMPLATE_TIMEOUT
   */
  render(messages: readonly Message[], options?: RenderOptions): string;
};

/** Options of {@link chatTemplate}. */
export type ChatTemplateOptions = {
  /** What errors call the template: its file. */
  where: string;
  /** Texts of special tokens by the names templates use: `bos_token`, `eos_token`, ... */
  tokens?: Record<string, string>;
  /** Milliseconds that one rendering may take. Default 2,000; a usual one takes well under 1. */
  limit?: number;
  /** Clock for `strftime_now`, in milliseconds since 1970. Default `Date.now`. */
  now?: () => number;
};

/**
 * The template of models that come without one: turns as labelled paragraphs, an assistant's ended by the end token.
 *
 *   User: Hi\n
 *   Assistant: Hello<end>\n
 */
export const defaultChatTemplate = [
  "{% for message in messages %}",
  "{{ message['role'] | capitalize }}: {{ message['content'] }}",
  "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}",
  "{% endfor %}",
  "{% if add_generation_prompt %}Assistant:{% endif %}",
].join("");

const checkRoles = (messages: readonly Message[], where: string): void => {
  for (const [index, { role }] of messages.entries()) {
    if (roles.includes(role)) continue;
    throw new MahaloError(
      "E_TEMPLATE_ROLE",
      `${where}: message ${index + 1} has unknown role "${role}". ${didYouMean(role, roles)}`,
      { hint: `use one of ${roles.join(", ")}` },
    );
  }
};

/** The error that stands for an answer without a text. */
const renderError = (
  answer: Exclude<RenderAnswer, { kind: "text" }>,
  where: string,
  limit: number,
): MahaloError => {
  switch (answer.kind) {
    case "syntax":
      return new MahaloError(
        "E_TEMPLATE_SYNTAX",
        `${where}: the chat template cannot be read: ${answer.message}`,
        {
          hint: "fix the template, or remove it to use the default one",
        },
      );
    case "refused":
      return new MahaloError("E_TEMPLATE_REFUSED", `${where}: the chat template refuses: ${answer.message}`, {
        hint: "change the messages to what the model's template allows",
      });
    case "failed":
      return new MahaloError("E_TEMPLATE_FAILED", `${where}: the chat template failed: ${answer.message}`, {
        hint: "check the messages and the template's variables",
      });
    case "overdue":
      return new MahaloError(
        "E_TEMPLATE_TIMEOUT",
        `${where}: the chat template did not finish in ${limit} ms and was ended`,
        { hint: "do not use this template: it loops, or needs more memory than any conversation should" },
      );
  }
};

/**
 * A chat template from its Jinja source.
 *
 * Templates come with models from anywhere, and a few characters of Jinja can loop for minutes, so they run in a thread
 * that is ended at the limit. They see the messages, the token texts and `variables`, nothing else.
 *
 * @example chatTemplate(text, { where: "chat_template.jinja", tokens: { eos_token: "<|im_end|>" } })
 *   .render([{ role: "user", content: "Hi" }], { addGenerationPrompt: true })
 */
export const chatTemplate = (text: string, options: ChatTemplateOptions): ChatTemplate => {
  const { where, tokens = {}, limit = 2_000, now = Date.now } = options;
  return {
    text,
    where,
    render(messages, { addGenerationPrompt = false, variables = {} } = {}) {
      checkRoles(messages, where);
      const render = (shown: readonly unknown[]): RenderAnswer =>
        renderInThread(
          {
            text,
            variables: {
              ...tokens,
              // transformers passes these two always, and templates test them against none.
              tools: toolsOf(messages) ?? null,
              documents: null,
              ...variables,
              messages: shown,
              add_generation_prompt: addGenerationPrompt,
            },
            now: now(),
          },
          limit,
        );
      const [shown, ...others] = formsForTemplate(messages, text);
      let answer = render(need(shown, "a form of the messages"));
      for (const form of others) {
        if (answer.kind !== "failed") break;
        const next = render(form);
        if (next.kind === "text") answer = next;
      }
      if (answer.kind === "text") {
        const missing = unwritten(messages, answer.text);
        if (missing === undefined) return answer.text;
        throw new MahaloError("E_TEMPLATE_UNWRITTEN", `${where}: the chat template leaves out ${missing}`, {
          hint: "use a model whose template knows tools, or rows without them",
        });
      }
      throw renderError(answer, where, limit);
    },
  };
};
