/** Where a reply states its final answer: a box, four hashes, "the answer is", or its last number. */

/** A final answer as written, and the form in which it was given. */
export type Extracted = { text: string; form: "boxed" | "####" | "the answer is" | "last number" };

/** Only the end of a longer reply is looked at. */
const maxReply = 65_536;

/** Longest answer that is compared. */
export const maxAnswer = 4096;

/** The content of the last whole `\boxed{...}` or `\fbox{...}`; of nested boxes the outer one, which comparing unwraps. */
export const lastBoxed = (text: string): string | undefined => {
  let found: string | undefined;
  let end = 0;
  // Each box is read once and the search goes on behind it, so the work is linear but for boxes that never end.
  for (let at = text.indexOf("boxed", 0), tries = 0; at >= 0 && tries < 50; at = text.indexOf("boxed", end)) {
    let open = at + 5;
    while (text[open] === " ") open++;
    if (text[at - 1] !== "\\" || text[open] !== "{") {
      end = at + 5;
      continue;
    }
    let depth = 0;
    let close = open;
    for (; close < text.length; close++) {
      const sign = text[close];
      if (sign === "\\") close++;
      else if (sign === "{") depth++;
      else if (sign === "}" && --depth === 0) break;
    }
    if (close >= text.length) {
      end = at + 5;
      tries++;
    } else {
      found = text.slice(open + 1, close);
      end = close + 1;
    }
  }
  return found;
};

const phrase = /\banswer\b[^.:?!\d\n]{0,60}?(?:\bis\b|\bwas\b|\bwould be\b|[:=])(?!\s+not\b)/giu;
const number = /(?:(?<![\w)\]%])[-−])?(?:[$€£]\s?)?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:\s?\/\s?\d+|\s?\\?%)?/gu;

/** An answer without the point that ends its sentence, dollars around it and stars of bold type. */
const trimmed = (text: string): string => {
  let inner = text
    .trim()
    .replace(/^\*+|\*+$/g, "")
    .trim();
  if (/^\$[^$]*\$[.,]?$/.test(inner)) inner = inner.slice(1, inner.lastIndexOf("$"));
  return inner.replace(/[.,;:!]$/, "").trim();
};

/**
 * The final answer of a reply: the last `\boxed{...}`, else what follows the last `####`, else what follows the
 * last "the answer is" up to the end of the sentence, else the last number.
 *
 * @example extractAnswer("So 2 + 2 = 4.\n#### 4") // { text: "4", form: "####" }
 */
export const extractAnswer = (reply: string): Extracted | undefined => {
  const text = reply.length > maxReply ? reply.slice(-maxReply) : reply;
  const boxed = lastBoxed(text);
  if (boxed !== undefined) return { text: trimmed(boxed), form: "boxed" };
  const mark = text.lastIndexOf("####");
  if (mark >= 0) {
    const line =
      text
        .slice(mark + 4)
        .trimStart()
        .split("\n", 1)[0]
        ?.trim() ?? "";
    if (line !== "") return { text: trimmed(line), form: "####" };
  }
  const said = [...text.matchAll(phrase)].at(-1);
  if (said !== undefined) {
    const rest =
      text
        .slice(said.index + said[0].length)
        .trimStart()
        .split("\n", 1)[0] ?? "";
    const sentence = rest.slice(0, maxAnswer).split(/[.!?](?:\s|$)/, 1)[0] ?? "";
    if (sentence.trim() !== "") return { text: trimmed(sentence), form: "the answer is" };
  }
  const last = text.slice(-maxAnswer).match(number)?.at(-1);
  return last === undefined ? undefined : { text: last.replace(/,$/, ""), form: "last number" };
};
