/** Where a reply states its final answer: an answer tag, a box, four hashes, "the answer is", or its last number. */

import { type Box, boxes } from "./boxed.ts";
import { asWritten, valueWithFactorials, withFactorials } from "./factorials.ts";
import { lastValue } from "./last-value.ts";
import { maxReply } from "./limits.ts";
import { element } from "./need.ts";
import { answerIn, lastStatement } from "./statements.ts";
import { bareMathematics, withoutMarks, withoutThoughts } from "./strip.ts";

/** A final answer as written, and the form in which it was given. */
export type Extracted = {
  text: string;
  form: "<answer>" | "boxed" | "####" | "the answer is" | "whole reply" | "last number";
};

/** An answer, and where the text goes on behind it. */
type Place = Extracted & { end: number };

/** An answer without the point that ends its sentence, dollars around it and marks of bold type. */
const trimmed = (text: string): string => {
  const inner = withoutMarks(text).trim();
  const bare = /^\$[^$]*\$[.,]?$/.test(inner) ? inner.slice(1, inner.lastIndexOf("$")) : inner;
  return bare.replace(/[.,;:!]$/, "").trim();
};

/** Without a bracket that closes what began before the answer: "(so the answer is 5)". */
const withoutBracket = (text: string): string =>
  /^[^([{]+\)$/.test(text) ? trimmed(text.slice(0, -1)) : text;

const betweenBoxes =
  /^[\s$]*(?:[,;&]|\\(?:text\w*|mbox)\s*\{\s*(?:,\s*)?(?:and|or)\s*\}|\b(?:and|or)\b|\\quad|\\ )(?:[\s$,;]|\b(?:and|or)\b)*(?:[A-Za-z]\s*=[\s$]*)?$/;

/** The last box; of boxes with only commas, "and" or "or" between them, all as a list. */
const inBox = (text: string): Place | undefined => {
  if (!text.includes("boxed") && !text.includes("fbox")) return undefined;
  let group: Box[] = [];
  for (const box of boxes(text)) {
    if (box.content.trim() === "") continue;
    const last = group.at(-1);
    group =
      last !== undefined && betweenBoxes.test(text.slice(last.end, box.start)) ? [...group, box] : [box];
  }
  const last = group.at(-1);
  if (last === undefined) return undefined;
  const parts = [...new Set(group.map(({ content }) => trimmed(content)))];
  return { text: parts.join(", "), form: "boxed", end: last.end };
};

/** What an answer may be said of: "The result is 48". */
const subject =
  /^\s*(?:(?:so|thus|hence|therefore),?\s+)?(?:the (?:\w+ ){1,2}|it |this |that )(?:is|are|equals)\s+/i;

/** The content of the last answer tag; of one that is not closed, all behind it. */
const inTag = (text: string): Place | undefined => {
  const start = text.lastIndexOf("<answer>");
  if (start < 0) return undefined;
  const close = text.indexOf("</answer>", start);
  const content = text.slice(start + 8, close < 0 ? undefined : close);
  const stated = explicit(content) ?? wholeReply(content);
  const said = subject.test(content) ? answerIn(content.replace(subject, "")) : undefined;
  const answer = stated?.text ?? trimmed(said ?? bareMathematics(content));
  if (answer === "") return undefined;
  const short = stated !== undefined || answer.split(/\s+/).length < 5;
  return {
    text: short ? answer : (lastValue(content) ?? answer),
    form: "<answer>",
    end: close < 0 ? text.length : close + 9,
  };
};

const heading =
  /^(?:step|case|part|method|solution|explanation|conclusion|note|check|verification|\d+[.)]\s+[A-Z])/i;

/** How many lines with four hashes are looked at, from the last on. */
const maxHashes = 50;

/** What follows the last four hashes, unless they begin a heading. */
const behindHashes = (text: string): Place | undefined => {
  let mark = text.length;
  for (let tries = 0; tries < maxHashes; tries++) {
    mark = mark === 0 ? -1 : text.lastIndexOf("####", mark - 1);
    if (mark < 0) return undefined;
    const from = text.slice(mark + 4).trimStart();
    while (text[mark - 1] === "#") mark--;
    const line = element(from.split("\n", 1), 0).trim();
    if (line === "" || heading.test(line) || /^\W*(?:final )?answer\W*$/i.test(line)) continue;
    const answer = /\banswer\b/i.test(line) ? lastStatement(line) : undefined;
    const value = wholeReply(line) === undefined ? line : valueWithFactorials(line);
    const stated = typeof answer === "object" ? answer.text : (answerIn(value) ?? trimmed(value));
    return { text: trimmed(stated), form: "####", end: text.length - from.length + line.length };
  }
  return undefined;
};

const taking =
  /^[^\n.!?\d]{0,40}[\s.,;:!?})\]*$–—-]*(?:(?:no|wait|hmm|oops|sorry|actually|but|however|hold on)\b[\s,.!—–-]*)*(?:(?:that|this|it|which)\s*(?:is|was|['’]s|isn['’]t|can(?:no|['’])t be|seems|looks)\s+(?:\w+\s+)?(?:wrong|incorrect|mistaken|not right|not correct|a mistake|an error|right either|right|correct|impossible|too (?:large|small|big|high|low|many|few))|(?:that|this|it)\s+can(?:not| not|['’]t) be\b(?! (?:more|less|improved))|(?:is|was)\s+(?:wrong|incorrect|not (?:right|correct))|(?:actually|on second thoughts?|wait|no|sorry),?\s+(?=(?:the|my) (?:\w+ )?answer (?:is|should|must))|i (?:made|have made|was|am)\s+(?:an?\s+)?(?:\w+\s+)?(?:mistake|error|slip|wrong)|correction\b|scratch that|let me (?:redo|correct|fix|recompute|recalculate)|it should (?:be|have been)|should (?:be|have been))/i;
const affirming = /(?:is|was|['’]s|seems|looks)\s+(?:\w+\s+)?(?:right|correct)$/i;
const denying = /n['’]t|not/i;

/** What follows an answer that is taken back right behind it ("That is wrong: ..."); undefined where it is not. */
const afterTakingBack = (text: string): string | undefined => {
  const taken = text.length < 10 ? undefined : taking.exec(text)?.[0];
  if (taken === undefined || (affirming.test(taken) && !denying.test(taken))) return undefined;
  return text.slice(taken.length);
};

/** An answer that is stated as one, by tag, box, hashes or sentence. */
const explicit = (text: string): Place | undefined => {
  const place = inTag(text) ?? inBox(text) ?? behindHashes(text);
  if (place !== undefined) return place;
  const said = lastStatement(text);
  return typeof said === "object"
    ? { text: withoutBracket(trimmed(said.text)), form: "the answer is", end: said.end }
    : undefined;
};

/** A reply that is nothing but the answer: `\dfrac{3}{4}`, `(1, 2)`, `3 pm`, `Monday`. */
const wholeReply = (text: string): Extracted | undefined => {
  const reply = trimmed(valueWithFactorials(withoutMarks(bareMathematics(text)))).replace(/^[=:]\s*/, "");
  if (reply === "" || reply.length > 200 || reply.includes("\n") || /=.*=|[.!?]\s/.test(reply))
    return undefined;
  const words = reply.replaceAll(/\\[A-Za-z]+/g, " ").match(/[A-Za-z]{2,}/g) ?? [];
  if (/\\(?:boxed|fbox)/.test(reply)) return undefined;
  const value = /^[-−+±]?\s*[\d.½⅓⅔¼¾$€£¥₹\\({[|√π]/u.test(reply);
  const bareWord = /^\p{L}{2,}$/u.test(reply) || /^no (?:\w+ )?solutions?$/i.test(reply);
  const short = value && words.length < 4 && (words.length === 0 || !reply.includes("="));
  const whole = short || (words.length === 0 && /[A-Za-z\d]/.test(reply)) || bareWord;
  return whole ? { text: reply, form: "whole reply" } : undefined;
};

const within = (text: string): Extracted | undefined => {
  const place = explicit(text);
  if (place === undefined) {
    if (lastStatement(text) === "denied") return undefined;
    const whole = wholeReply(text);
    if (whole !== undefined) return whole;
    const last = lastValue(text);
    return last === undefined ? undefined : { text: last, form: "last number" };
  }
  const rest = afterTakingBack(text.slice(place.end));
  return rest === undefined ? { text: place.text, form: place.form } : within(rest);
};

/**
 * The final answer of a reply: the last `<answer>`, else the last `\boxed{...}` (of several with only "and", "or" or
 * commas between them all), else what follows the last `####`, else what follows the last "the answer is", "Answer:" or
 * "A:" without its explanation, else the choice of "option B is correct", else the whole reply where it is nothing
 * else, else its last number.
 *
 * Thoughts (`<think>...</think>`) state nothing. An answer that is taken back right behind it ("That is wrong") gives way
 * to what follows; "the answer is not 12" states none.
 *
 * An exclamation mark is a factorial in a box, in mathematics and before a sign of mathematics (`5! = 120`); at the end
 * of a sentence ("The answer is 5!") it is none. A reply, tag or line of hashes that is nothing but `5!` is the factorial:
 * a reference answer is read in the same way, and a reply that repeats it must be right.
 *
 * @example extractAnswer("So 2 + 2 = 4.\n#### 4") // { text: "4", form: "####" }
 */
export const extractAnswer = (reply: string): Extracted | undefined => {
  const end = reply.length > maxReply ? reply.slice(-maxReply) : reply;
  const text = withoutThoughts(end);
  // "<<3*4=12>>" is a calculator's note.
  const bare = text.includes("<<") ? text.replaceAll(/<<[^<>\n]*>>/g, "") : text;
  const extracted = within(withFactorials(bare));
  return extracted === undefined ? undefined : { ...extracted, text: asWritten(extracted.text) };
};
