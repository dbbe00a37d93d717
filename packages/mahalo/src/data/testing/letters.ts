/** A tokenizer of letters and a chat template of marks: small enough to see where a text is cut. */
import type { ChatTemplate } from "../tokens/chat-template.ts";
import type { Tokenizer } from "../tokens/tokenizer.ts";

/** Marks of a message, as ChatML has them, and what stands before a text. */
export const begin = "<|im_start|>";
export const end = "<|im_end|>";
export const bos = "<s>";
const specials = [begin, end, bos];

/** One id for each letter, and one for each special token; enough to see where a text is cut. */
export const letters: Tokenizer = {
  encode(text, options) {
    const pieces = text.split(/(<\|im_start\|>|<\|im_end\|>|<s>)/);
    const ids = pieces.flatMap((piece) =>
      specials.includes(piece)
        ? [specials.indexOf(piece)]
        : [...piece].map((letter) => (letter.codePointAt(0) ?? 0) + 3),
    );
    return options?.special ? [specials.indexOf(bos), ...ids] : ids;
  },
  decode: (ids) => ids.map((id) => specials[id] ?? String.fromCodePoint(id - 3)).join(""),
  specialIds: new Set([0, 1, 2]),
  eosIds: [1],
  vocabSize: 0x110003,
};

/** ChatML without a template language. */
export const chatml: ChatTemplate = {
  text: "",
  render: (messages, options) =>
    messages.map(({ role, content }) => `${begin}${role}\n${content}${end}\n`).join("") +
    (options?.addGenerationPrompt ? `${begin}assistant\n` : ""),
};
