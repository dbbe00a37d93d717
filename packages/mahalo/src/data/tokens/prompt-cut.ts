/** Shortens a conversation that is too long: whole turns go first, the header and the last turn stay. */
import { type Message, toolsOf, withTools } from "../rows/messages.ts";

/** Whether a message instructs the model rather than says something to it. */
const instructs = ({ role }: Message): boolean => role === "system" || role === "developer";

/** The system messages that a conversation begins with, and its exchanges: each a user's turn and what answers it. */
function exchangesOf(messages: readonly Message[]): { header: Message[]; exchanges: Message[][] } {
  const first = messages.findIndex((message) => !instructs(message));
  const header = messages.slice(0, first < 0 ? messages.length : first);
  const exchanges: Message[][] = [];
  let before: Message | undefined;
  for (const message of messages.slice(header.length)) {
    const exchange = exchanges.at(-1);
    if (exchange === undefined || (message.role === "user" && before?.role !== "user"))
      exchanges.push([message]);
    else exchange.push(message);
    before = message;
  }
  return { header, exchanges };
}

/** The first candidate that fits, where all behind one that fits do too; undefined where none does. */
function firstFitting(
  candidates: readonly number[],
  fits: (candidate: number) => boolean,
): number | undefined {
  let fitting: number | undefined;
  let [from, to] = [0, candidates.length - 1];
  while (from <= to) {
    // The last one first: where that does not fit, none does.
    const place = fitting === undefined ? to : Math.floor((from + to) / 2);
    const candidate = candidates[place];
    if (candidate === undefined) return undefined;
    if (fits(candidate)) [fitting, to] = [candidate, place - 1];
    else if (fitting === undefined) return undefined;
    else from = place + 1;
  }
  return fitting;
}

/** Where a text may begin once its beginning is cut off: at a word, or at any letter where no word is short enough. */
function beginnings(text: string): { words: number[]; letters: number[] } {
  const words = [...text.matchAll(/(?<=\s)\S/g)].map(({ index }) => index);
  let place = 0;
  const letters = [...text].slice(0, -1).map((letter) => (place += letter.length));
  return { words, letters };
}

/**
 * The longest end of a conversation that fits.
 *
 * Exchanges (a user's turn and its answer) are left out whole, the oldest first. System messages and the last exchange
 * stay. Where these alone are too long, the longest message of the last exchange loses its beginning, up to a word.
 *
 * @param fits whether a conversation is short enough
 * @returns undefined where not even a letter of that message fits
 */
export function cutConversation(
  messages: readonly Message[],
  fits: (messages: readonly Message[]) => boolean,
): readonly Message[] | undefined {
  const { header, exchanges } = exchangesOf(messages);
  const tools = toolsOf(messages);
  const from = (count: number): Message[] => withTools([...header, ...exchanges.slice(count).flat()], tools);
  const dropped = firstFitting([...exchanges.keys()], (count) => fits(from(count)));
  if (dropped !== undefined) return from(dropped);
  const last = exchanges.at(-1);
  if (last === undefined) return undefined;
  const longest = last.reduce((best, message) =>
    message.content.length > best.content.length ? message : best,
  );
  const shortened = (start: number): Message[] => {
    const cut = last.map((message) =>
      message === longest ? { ...message, content: message.content.slice(start) } : message,
    );
    return withTools([...header, ...cut], tools);
  };
  const { words, letters } = beginnings(longest.content);
  const fitting = (start: number): boolean => fits(shortened(start));
  const start = firstFitting(words, fitting) ?? firstFitting(letters, fitting);
  return start === undefined ? undefined : shortened(start);
}
