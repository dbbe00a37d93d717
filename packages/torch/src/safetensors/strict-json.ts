/** A JSON reader that is stricter than JSON.parse: duplicate keys, `__proto__` and lone surrogates are errors. */
import { MahaloError } from "../error.ts";

/** A JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** Options of {@link parseStrictJson}. */
export type StrictJsonOptions = {
  /** Every number must be a whole one from 0 to 2^53 - 1, written in digits alone. Default false. */
  wholeNumbers?: boolean;
  /** Keys that the outermost object may have. Default: any number. */
  mostKeys?: number;
};

/** Deep enough for any header or index; deeper nesting is an attack on the stack. */
const MAX_DEPTH = 16;

const ESCAPES: Record<string, string> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const LETTERS = /[A-Za-z]+/y;
const SPACE = /[ \t\n\r]*/y;
// A run of characters that need no decoding; quotes, backslashes and control characters end it.
const PLAIN = /[ !#-[\]-\uffff]+/y;

/** False for text with half a character, which UTF-8 cannot hold. */
export const isWellFormed = (text: string): boolean => !/\p{Surrogate}/u.test(text);

/**
 * Reads JSON text.
 *
 * @param where begins every message, for example the file's name and the part read.
 * @throws MahaloError `E_JSON_SYNTAX` naming the place by its keys and the position in the text.
 */
export const parseStrictJson = (text: string, where: string, options: StrictJsonOptions = {}): Json => {
  let position = 0;
  const path: string[] = [];

  const fail = (what: string): never => {
    const place = path.length > 0 ? ` ${path.map((key) => JSON.stringify(key)).join(" > ")}:` : "";
    throw new MahaloError("E_JSON_SYNTAX", `${where}:${place} ${what} (position ${position})`);
  };
  const match = (pattern: RegExp): string => {
    pattern.lastIndex = position;
    return pattern.exec(text)?.[0] ?? "";
  };
  const skipSpace = (): void => {
    position += match(SPACE).length;
  };
  const shown = (): string =>
    position >= text.length ? "the end of the text" : JSON.stringify(text.slice(position, position + 1));

  const escaped = (): string => {
    const letter = text.charAt(position + 1);
    const simple = ESCAPES[letter];
    if (simple !== undefined) {
      position += 2;
      return simple;
    }
    const digits = text.slice(position + 2, position + 6);
    if (letter !== "u" || !/^[0-9a-fA-F]{4}$/.test(digits)) fail("bad escape in a string");
    position += 6;
    return String.fromCharCode(Number.parseInt(digits, 16));
  };

  const string = (): string => {
    position += 1;
    let value = "";
    while (true) {
      const run = match(PLAIN);
      value += run;
      position += run.length;
      const next = text[position];
      if (next === '"') break;
      if (next === undefined) fail("a string has no end");
      if (next !== "\\") fail("control character in a string");
      value += escaped();
    }
    position += 1;
    if (!isWellFormed(value)) fail("a string holds half a character (lone surrogate)");
    return value;
  };

  const number = (): number => {
    const digits = match(NUMBER);
    const value = Number(digits);
    if (digits === "") fail(`a value is expected, not ${shown()}`);
    if (options.wholeNumbers && !(/^\d+$/.test(digits) && Number.isSafeInteger(value))) {
      fail(`a whole number from 0 to 2^53 - 1 is expected, not ${digits.slice(0, 40)}`);
    }
    if (!Number.isFinite(value)) fail(`${digits.slice(0, 40)} is too large for a number`);
    position += digits.length;
    return value;
  };

  const list = (depth: number): Json[] => {
    const items: Json[] = [];
    position += 1;
    skipSpace();
    if (text[position] === "]") {
      position += 1;
      return items;
    }
    while (true) {
      items.push(value(depth + 1));
      skipSpace();
      const next = text[position];
      if (next !== "," && next !== "]") fail(`"," or "]" is expected, not ${shown()}`);
      position += 1;
      if (next === "]") return items;
    }
  };

  const object = (depth: number): { [key: string]: Json } => {
    const result: { [key: string]: Json } = {};
    const most = depth === 0 ? (options.mostKeys ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
    let keys = 0;
    position += 1;
    skipSpace();
    if (text[position] === "}") {
      position += 1;
      return result;
    }
    while (true) {
      skipSpace();
      if (text[position] !== '"') fail(`a key in quotes is expected, not ${shown()}`);
      const key = string();
      path.push(key);
      keys += 1;
      if (keys > most) fail(`more than ${most} keys`);
      if (key === "__proto__") fail('the key "__proto__" is not allowed');
      if (Object.hasOwn(result, key)) fail("the key occurs twice");
      skipSpace();
      if (text[position] !== ":") fail(`":" is expected, not ${shown()}`);
      position += 1;
      result[key] = value(depth + 1);
      path.pop();
      skipSpace();
      const next = text[position];
      if (next !== "," && next !== "}") fail(`"," or "}" is expected, not ${shown()}`);
      position += 1;
      if (next === "}") return result;
    }
  };

  const value = (depth: number): Json => {
    if (depth > MAX_DEPTH) fail(`nested more than ${MAX_DEPTH} deep`);
    skipSpace();
    const first = text[position];
    if (first === "{") return object(depth);
    if (first === "[") return list(depth);
    if (first === '"') return string();
    const word = match(LETTERS);
    if (word === "") return number();
    if (word !== "true" && word !== "false" && word !== "null")
      fail(`${word.slice(0, 20)} is not a JSON value`);
    position += word.length;
    return word === "null" ? null : word === "true";
  };

  const result = value(0);
  skipSpace();
  if (position < text.length) fail(`nothing may follow the value, but there is ${shown()}`);
  return result;
};
