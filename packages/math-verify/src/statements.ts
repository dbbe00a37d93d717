/** Sentences that state an answer: "the answer is 12", "**Answer:** 12", "A: 12"; and what of them is the answer. */

import { lastValue } from "./last-value.ts";
import { maxAnswer } from "./limits.ts";
import { element } from "./need.ts";
import { readNumberWords } from "./number-words.ts";
import { newWork } from "./rational.ts";
import { bareMathematics, withoutMarks } from "./strip.ts";

/** A stated answer, and where the text goes on behind the statement. */
export type Stated = { text: string; end: number };

const verb =
  "is(?:n['’]t)?|was(?:n['’]t)?|(?:would|should|must|will|can(?:not)?|could) be|equals?|becomes|comes (?:out )?to";
/** "The answer is", "Final answer:", "Answer" as a heading. */
const phrase = new RegExp(
  String.raw`\banswers(?:\s+(?:are|were)(?![a-z])|:)|\banswer\b[^.:?!\d\n]{0,60}?(?:(?<=\W)(?:${verb})(?![a-z])|[:=]|(?=\n))`,
  "giu",
);
/** The "A:" of question and answer. */
const label = /^[ \t>*_]*A(?:ns)?[ \t]*[:.](?=\W)/gimu;
const negation = /^\s*(?:\*\*)?not\b/iu;

/** Words after "the answer is" that tell something about it and not what it is. */
const remark =
  /^(?:correct|right|wrong|incorrect|clear|obvious|unique|as follows|given|found|obtained|boxed|in (?:its|the|lowest|simplest)|to (?:the|be|this)|on |at the|above|below|simplified|known|reasonable|positive\b|negative\b|an? (?:whole|integer|positive|negative|valid|reasonable)|already|also correct|now|not)\b/i;

/** Words before the answer that are no part of it. */
const introduction =
  /^(?:(?:therefore|thus|hence|simply|just|then|now|clearly|indeed|equal to|exactly|given by|approximately|about|roughly|around|actually|indeed|is|be|to be|equals?)\b[\s,:]*|[:=>→–—-]+\s+)+/iu;

/** Where what explains the answer begins, behind a value. */
const explanation =
  /\s*[,;]\s*(?:(?!and\b|or\b)[A-Za-z]{2,}|a\s|I\s)(?![^,]*=\s*[-\d\\(])|\s+(?:because|since|as|so|which|where|when|if|due|but|instead|rather|meaning|after|given|assuming|for|(?:and\s+)?not)\b|\s+[–—-]{1,2}\s+[A-Za-z]|(?<=[\w%}])\s+\((?=(?:or |about |= ?|≈ ?)?[\d.,/%]+\)|[^()]*(?:\d\s*[-+*/×÷]\s*\d|=|\b(?:that|which|because|since|as|is|of|see|not|from|with)\b))[^()]*\)\s*$/iu;

const sentenceEnd =
  /(?<!\b(?:Mr|Mrs|Ms|Dr|St|vs|approx|No|a\.m|p\.m|i\.e|e\.g))[.!?](?:[*_`"')\]]*)(?:\s|$)/u;

/** What compares and does not state: "between 11 and 12", "less than 12". */
const comparing =
  /\b(?:between|less|more|fewer|greater|larger|smaller|under|over|least|most|than|not|neither|nor|either|or)\b/i;

/** The text behind a statement up to the end of its line, or of the display mathematics or matrix that begins there. */
const lineOf = (text: string): string => {
  const from = text.replace(/^[\s*_:>]*/, (lead) => (lead.includes("\n") ? "" : lead)).trimStart();
  const display = /^(?:\*\*)?(?:\$\$[\s\S]{1,2000}?\$\$|\\\[[\s\S]{1,2000}?\\\])[^\n]*/.exec(from)?.[0];
  if (display !== undefined) return display.replaceAll("\n", " ");
  const line = element(from.split("\n", 1), 0);
  const matrix = /\\begin\{(\w+)\}/.exec(line)?.[1];
  const close = matrix === undefined ? -1 : from.indexOf(`\\end{${matrix}}`);
  return close < 0 ? line : from.slice(0, close + `\\end{${matrix}}`.length).replaceAll("\n", " ");
};

/** Whether a text begins with a value: a number, mathematics, or a letter that is given one. */
const beginsWithValue = (text: string): boolean =>
  /^(?:[-−+±]?\s*(?:[$€£¥₹]|\\[$])?\s*[-−]?[\d.½⅓⅔¼¾]|[\\({[|√π∞∅]|[-−+]?[A-Za-z](?:\s*[=<>^_+*/(\ue000-]|$))/u.test(
    text,
  );

/** Whether a number in digits, mathematics or words begins at a place. */
const isNumberAt = (text: string, start: number): boolean =>
  /[\d.\\√π]/u.test(text.charAt(start)) || readNumberWords(text, start, newWork()) !== undefined;

/**
 * The answer in what follows "the answer is": its first sentence without marks, introduction and explanation.
 *
 * @returns undefined where it states none
 */
export const answerIn = (after: string): string | undefined => {
  const line = bareMathematics(withoutMarks(lineOf(after).slice(0, maxAnswer)));
  const sentence = element(line.split(sentenceEnd, 1), 0)
    .trim()
    .replace(introduction, "")
    .replace(/^(["'])(.*)\1$/, "$2")
    .trim()
    .replace(/^(?:minus|negative)\s+(?=\S)/i, (sign: string, _at: number, whole: string) =>
      isNumberAt(whole, sign.length) ? "-" : sign,
    );
  if (sentence === "" || remark.test(sentence)) return undefined;
  if (beginsWithValue(sentence)) {
    const cut = sentence.search(explanation);
    return (cut > 0 ? sentence.slice(0, cut) : sentence).trim() || undefined;
  }
  const words = element(
    sentence.split(/\s*(?:,\s*(?:because|since|so|as|which|not)|\b(?:because|since))\b/, 1),
    0,
  );
  if (words.split(/\s+/).length < 4 || !/\d/.test(words) || comparing.test(words))
    return words.trim() || undefined;
  return lastValue(words) ?? words.trim();
};

/** What stands instead of an answer that is denied: "not 12 but 13", "not 12, it is 13". */
const insteadOf = (after: string): string | undefined => {
  const correction =
    /^[^\n]{0,80}?(?:\bbut(?: rather)?|\brather|\binstead|\bit(?: is|['’]s))\s+([\s\S]*)$/i.exec(after);
  return correction?.[1] === undefined ? undefined : answerIn(correction[1]);
};

/** Where the first sentence of a text ends. */
const endOfSentence = (text: string): number => {
  const end = text.search(sentenceEnd);
  return end < 0 ? text.length : end;
};

/** Whether more numbers follow behind a sentence: "The answers are 3 and 5. Their sum is 8." */
const resumes = (after: string): boolean => {
  const sentence = after.replace(/^[\s:*_]*/, "");
  const end = Math.min(endOfSentence(sentence), `${sentence}\n`.indexOf("\n"));
  return /\d/.test(sentence.slice(end));
};

/** How many statements of an answer are looked at, from the last on. */
const maxStatements = 50;

/** Where a text states answers, the last first. */
const statementsOf = (text: string): RegExpExecArray[] => {
  const labels = /A[ns]{0,2}[ \t]*[:.]/i.test(text) ? [...text.matchAll(label)] : [];
  const said = /answer/i.test(text) ? [...text.matchAll(phrase)] : [];
  return [...labels, ...said].sort((a, b) => b.index - a.index).slice(0, maxStatements);
};

/** "12 is the answer", "so 12 is our final answer". */
const namedAnswer = (text: string): Stated | undefined => {
  const match = /\bis (?:the|our|my|your) (?:\w+ )?answer\b/i.exec(text);
  if (match === null) return undefined;
  const value = lastValue(text.slice(text.lastIndexOf("\n", match.index) + 1, match.index));
  if (value === undefined) return undefined;
  return { text: value, end: match.index + match[0].length };
};

const choice =
  /\b(?:(?:correct|right|best) (?:option|choice) (?:is|must be|would be):?[\s*_]*(?=\(?[A-J]\b(?! \w))|(?:[Oo]ption|[Cc]hoice)[\s*_(]+([A-J])[\s*_)]+is (?:the )?(?:correct|right)\b)/g;
const supposed = /(?:n['’]t|\b(?:not|if|whether|suppose|assume|assuming))\b[^.\n]{0,40}$/i;

/** "The correct option is (B) 12", "so choice B is right"; without the value only where none is told behind it. */
const namedChoice = (text: string): Stated | undefined => {
  for (const match of [...text.matchAll(choice)].reverse().slice(0, maxStatements)) {
    if (supposed.test(text.slice(Math.max(0, match.index - 60), match.index))) continue;
    const end = match.index + match[0].length;
    const after = text.slice(end);
    if (match[1] === undefined) {
      const answer = answerIn(after);
      if (answer !== undefined) return { text: answer, end: end + endOfSentence(after) };
    } else if (!/\d/.test(after)) return { text: match[1], end };
  }
  return undefined;
};

/** The last statement of an answer in a text; `denied` where the only ones say what the answer is not. */
export const lastStatement = (text: string): Stated | "denied" | undefined => {
  let denied = false;
  for (const match of statementsOf(text)) {
    const end = match.index + match[0].length;
    const after = text.slice(end);
    if (/n['’]t$|cannot be$/i.test(match[0]) || negation.test(after)) {
      const instead = insteadOf(after);
      if (instead !== undefined) return { text: instead, end: text.length };
      denied = true;
      continue;
    }
    // "A: 50" and then "B: 60" are choices.
    if (/A\s*:$/i.test(match[0]) && /^[\s>*_]*B\s*[:.]/im.test(after)) continue;
    if (/answers/i.test(match[0]) && resumes(after)) continue;
    const answer = answerIn(after);
    if (answer !== undefined) return { text: answer, end: end + endOfSentence(after) };
  }
  return denied ? "denied" : (namedChoice(text) ?? namedAnswer(text));
};
