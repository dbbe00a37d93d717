/** How tokens and their log-probabilities are written in answers. */
import type { TokenLogprob } from "../engine/protocol.ts";

/** JSON has no infinity; OpenAI gives -9999 for what is practically impossible. */
export const finiteLogprob = (logprob: number): number => (Number.isFinite(logprob) ? logprob : -9999);

/** UTF-8 bytes of a token; null where it is a part of a character. */
const bytesOf = (text: string): number[] | null =>
  text.includes("\uFFFD") ? null : [...new TextEncoder().encode(text)];

/** A token in the chat form. */
export const tokenForm = ({ text, logprob }: TokenLogprob) => ({
  token: text,
  logprob: finiteLogprob(logprob),
  bytes: bytesOf(text),
});
