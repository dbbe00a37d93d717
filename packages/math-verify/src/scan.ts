/** The scanner: LaTeX or plain mathematical text to tokens, in one pass from left to right. */
import type { Rational, Work } from "./rational.ts";
import { isDigit, scanNumber } from "./scan-number.ts";
import {
  functionNames,
  gluedFunctions,
  greekLetters,
  greekSigns,
  lowered,
  raised,
  setLetters,
  signCommands,
  silentCommands,
  textCommands,
  unicodeSigns,
  vulgarFractions,
  wordSigns,
} from "./symbols.ts";
import { isUnitWord } from "./units.ts";

/** What a token is. `text` of a sign is the sign, of a letter its name, of a command its name without backslash. */
export type Token = {
  type: "number" | "letter" | "word" | "function" | "command" | "sign" | "begin" | "end" | "row";
  text: string;
  /** Whether a space stands before it. */
  space: boolean;
  value?: Rational;
  digits?: number;
  cut?: boolean;
  /** Whether commas were taken for thousands marks in it. */
  marked?: boolean;
};

/** How an ambiguous text is read. */
export type Reading = {
  /** Whether `1,234` is one number. */
  commas: boolean;
  /** Whether a single letter or a short word after a number may be a unit: `5 m`. */
  bareUnits: boolean;
};

/** The tokens of a text, and which ambiguities it has. */
export type Scan = { tokens: Token[]; commas: boolean; bareUnits: boolean };

/** Most tokens of an answer. */
const maxTokens = 3000;

const isLetter = (code: number): boolean => (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
const isSpace = (code: number): boolean => code === 32 || (code >= 9 && code <= 13) || code === 0xa0;

/** Where the letters that begin at `start` end. */
const lettersEnd = (text: string, start: number): number => {
  let end = start;
  while (isLetter(text.charCodeAt(end))) end++;
  return end;
};

const spacesEnd = (text: string, start: number): number => {
  let end = start;
  while (isSpace(text.charCodeAt(end))) end++;
  return end;
};

/** The content of the braces that open at `start`, spaces before them passed over, and where the text goes on. */
export const braced = (text: string, start: number): { content: string; end: number } | undefined => {
  const from = spacesEnd(text, start);
  if (text[from] !== "{") return undefined;
  let depth = 0;
  for (let end = from; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (code === 92) end++;
    else if (code === 123) depth++;
    else if (code === 125 && --depth === 0) return { content: text.slice(from + 1, end), end: end + 1 };
  }
  return undefined;
};

/** The state of one scan. */
class Scanner {
  readonly tokens: Token[] = [];
  commas = false;
  bareUnits = false;
  #text: string;
  #reading: Reading;
  #work: Work;
  #space = false;
  /** Whether a base above nine is named anywhere. */
  readonly #hasBase: boolean;

  constructor(text: string, reading: Reading, work: Work) {
    this.#text = text;
    this.#hasBase = /_(?:\{(?:\\text\{)?)?1[1-6]/.test(text);
    this.#reading = reading;
    this.#work = work;
  }

  #push(type: Token["type"], text: string, more: Partial<Token> = {}): void {
    this.tokens.push({ type, text, space: this.#space, ...more });
    this.#space = false;
  }

  /** Scans from `start` to `end`; `prose` says that letters are words. Returns whether all could be read. */
  run(start: number, end: number, prose: boolean): boolean {
    const text = this.#text;
    let here = start;
    while (here < end) {
      if (this.tokens.length > maxTokens) return false;
      const code = text.charCodeAt(here);
      let next: number | undefined;
      if (isSpace(code)) {
        this.#space = true;
        next = here + 1;
      } else if (isDigit(code) || (code === 46 && isDigit(text.charCodeAt(here + 1))))
        next = this.#number(here);
      else if (isLetter(code)) next = this.#letters(here, prose);
      else if (code === 92) next = this.#command(here);
      else next = this.#sign(here);
      if (next === undefined) return false;
      here = next;
    }
    return true;
  }

  #number(start: number): number | undefined {
    const inBase = this.#hasBase ? this.#digitsOfBase(start) : undefined;
    if (inBase !== undefined) return inBase;
    const number = scanNumber(this.#text, start, this.#reading.commas, this.#work);
    if (number === undefined) return undefined;
    this.commas ||= number.commas;
    this.#push("number", number.text, {
      value: number.value,
      ...(number.digits === undefined ? {} : { digits: number.digits }),
      ...(number.cut ? { cut: true } : {}),
      ...(number.commas ? { marked: true } : {}),
    });
    return number.end;
  }

  /** Digits of a base above ten with the base behind them, `1F_{16}`; undefined where none stand here. */
  #digitsOfBase(start: number): number | undefined {
    const [whole, digits = "", base = ""] =
      /^([0-9A-Fa-f]{1,60})(?=_(?:\{(?:\\text\{)?)?(1[1-6]))/.exec(this.#text.slice(start, start + 80)) ?? [];
    if (whole === undefined || !/[A-Fa-f]/.test(digits)) return undefined;
    const size = BigInt(base);
    let value = 0n;
    for (const digit of digits) {
      const worth = BigInt(Number.parseInt(digit, 36));
      if (worth >= size) return undefined;
      value = value * size + worth;
    }
    this.#push("number", digits, { value: { n: value, d: 1n } });
    return start + digits.length;
  }

  /** Whether a value ends right before, so that letters may be its unit. */
  #afterValue(): boolean {
    const last = this.tokens.at(-1);
    if (last === undefined) return false;
    return (
      last.type === "number" || last.type === "word" || [")", "}", "$", "/", "°", "%"].includes(last.text)
    );
  }

  /** Where words in brackets behind a number end, its unit: `9 (pieces of fruit)`; undefined for algebra. */
  #unitBrackets(start: number): number | undefined {
    if (this.tokens.at(-1)?.type !== "number") return undefined;
    const [whole, inner = ""] =
      /^\(([A-Za-z][A-Za-z'’ -]{0,60})\)/.exec(this.#text.slice(start, start + 64)) ?? [];
    const words = inner.split(/[ -]+/);
    const isAlgebra = (word: string): boolean =>
      functionNames[word] !== undefined || greekLetters.has(word) || word === "sqrt" || word === "frac";
    if (whole === undefined || words.some(isAlgebra)) return undefined;
    const isUnit = words.some((word) => word.length > 3) || isUnitWord(inner);
    return isUnit ? start + whole.length : undefined;
  }

  #letters(start: number, prose: boolean): number {
    const inBase = this.#hasBase ? this.#digitsOfBase(start) : undefined;
    if (inBase !== undefined) return inBase;
    const text = this.#text;
    let end = lettersEnd(text, start);
    const run = text.slice(start, end);
    const lower = run.toLowerCase();
    const sign = wordSigns[lower];
    if (sign !== undefined) {
      this.#push("sign", sign);
      return end;
    }
    if (lower === "percent" || lower === "percentage" || lower === "pct") {
      this.#push("sign", "%");
      return end;
    }
    if (prose || run.length > 3 || /^(?:one|two|six|ten)$/.test(lower)) {
      const name = functionNames[run];
      if (name !== undefined) this.#push("function", name);
      else if (run === "sqrt" || run === "frac") this.#push("command", run);
      else if (!prose && greekLetters.has(run)) this.#push("letter", run);
      else if (!prose && this.#glued(start, run)) return end;
      else {
        // A word goes on over hyphens and apostrophes, and in prose over digits: "m2".
        while (text[end] === "-" || text[end] === "'" || text[end] === "’") {
          const more = lettersEnd(text, end + 1);
          if (more === end + 1) break;
          end = more;
        }
        this.#push("word", text.slice(start, end));
      }
      return end;
    }
    const named = functionNames[run];
    if (named !== undefined) this.#push("function", named);
    else if (run === "pi" || greekLetters.has(run)) this.#push("letter", run);
    else if (this.#afterValue() && (this.#isUnit(run, start) || this.#isAmongWords(run, end)))
      this.#push("word", run);
    else if (run.length > 1 && this.tokens.at(-1)?.type === "word") this.#push("word", run);
    else if (!this.#glued(start, run)) for (const letter of run) this.#push("letter", letter);
    return end;
  }

  /** A function with its argument's letter right behind: `sinx`. */
  #glued(start: number, run: string): boolean {
    const name = gluedFunctions.find(
      (gluedFunction) => run.startsWith(gluedFunction) && run.length <= gluedFunction.length + 1,
    );
    if (name === undefined) return false;
    const named = functionNames[name];
    this.#push(named === undefined ? "command" : "function", named ?? name);
    for (const letter of this.#text.slice(start + name.length, start + run.length))
      this.#push("letter", letter);
    return true;
  }

  /** Whether a short run of letters after a value and a space is a word, since another one follows: `9 red apples`. */
  #isAmongWords(run: string, end: number): boolean {
    return run.length > 1 && this.#space && /^\s+[A-Za-z]{2}/.test(this.#text.slice(end, end + 8));
  }

  /** Whether a short run of letters after a value is a unit: always for `cm`, by choice of the reading for `m`. */
  #isUnit(run: string, start: number): boolean {
    // "1 car": three letters with a vowel at the end may be a thing that is counted, or a product.
    if (this.#space && /^[a-z]{3}$/.test(run) && /[aeiou]/.test(run) && !isUnitWord(run)) {
      if (!/^\s*[.)}]?\s*$/.test(this.#text.slice(start + run.length))) return false;
      this.bareUnits = true;
      return this.#reading.bareUnits;
    }
    if (!isUnitWord(run)) return false;
    // What goes on as a product or power of more than a unit is algebra: "2ab^2", "3m + 2".
    const after = this.#text[spacesEnd(this.#text, start + run.length)];
    if (after === "(" || after === "_") return false;
    if (run.length > 1 && !["ab", "bc", "in", "ft", "mi"].includes(run)) return true;
    this.bareUnits = true;
    return this.#reading.bareUnits;
  }

  #command(start: number): number | undefined {
    const text = this.#text;
    const nameEnd = Math.max(lettersEnd(text, start + 1), Math.min(start + 2, text.length));
    const name = text.slice(start + 1, nameEnd);
    if (name === "\\") {
      this.#push("row", "\\\\");
      return nameEnd;
    }
    if (name === "" || name === " " || name === "\n" || name === "~") {
      this.#space = true;
      return nameEnd;
    }
    if (name === "(" || name === ")" || name === "[" || name === "]") return nameEnd;
    if (silentCommands.has(name)) {
      this.#space ||= name !== "!";
      // "\left." is a bracket that is not there.
      const dot = spacesEnd(text, nameEnd);
      const bracket = name === "left" || name === "right";
      return bracket && text[dot] === "." && !isDigit(text.charCodeAt(dot + 1)) ? dot + 1 : nameEnd;
    }
    const sign = signCommands[name];
    const functionName = functionNames[name];
    if (sign !== undefined) this.#push("sign", sign);
    else if (textCommands.has(name)) return this.#prose(name, nameEnd);
    else if (name === "mathbb") return this.#doubleStruck(nameEnd);
    else if (name === "begin" || name === "end") return this.#environment(name, nameEnd);
    else if (functionName !== undefined) this.#push("function", functionName);
    else if (greekLetters.has(name) || name === "pi") this.#push("letter", name);
    else if (name === "hspace" || name === "vspace" || name === "phantom") return braced(text, nameEnd)?.end;
    else this.#push("command", name);
    return nameEnd;
  }

  /** `\text{...}`: its words; but a lone letter in roman face is that letter, and a function's name that function. */
  #prose(command: string, start: number): number | undefined {
    const group = braced(this.#text, start);
    if (group === undefined) return undefined;
    const content = group.content.trim();
    const roman = command === "mathrm" || command === "operatorname";
    if (roman && content.length === 1 && isLetter(content.charCodeAt(0)) && !this.#afterValue()) {
      this.#push("letter", content);
    } else {
      this.#space = true;
      const from = group.end - 1 - group.content.length;
      if (!this.run(from, group.end - 1, true)) return undefined;
      this.#space = true;
    }
    return group.end;
  }

  #doubleStruck(start: number): number | undefined {
    const group = braced(this.#text, start);
    const from = spacesEnd(this.#text, start);
    const letter = group === undefined ? this.#text[from] : group.content.trim();
    const sign = letter === undefined ? undefined : setLetters[letter];
    if (sign === undefined) return undefined;
    this.#push("sign", sign);
    return group?.end ?? from + 1;
  }

  #environment(name: "begin" | "end", start: number): number | undefined {
    const group = braced(this.#text, start);
    if (group === undefined) return undefined;
    this.#push(name, group.content.trim());
    if (name === "begin" && group.content.trim() === "array")
      return braced(this.#text, group.end)?.end ?? group.end;
    return group.end;
  }

  #sign(start: number): number | undefined {
    const text = this.#text;
    const sign = String.fromCodePoint(text.codePointAt(start) ?? 0);
    const end = start + sign.length;
    const fraction = vulgarFractions[sign];
    if (fraction !== undefined) {
      const [top, bottom] = fraction;
      const value = { n: BigInt(top), d: BigInt(bottom) };
      // After a whole number it is the rest of a mixed one, and the parser sees a fraction there.
      this.#push("command", "vulgar", { value });
      return end;
    }
    for (const [digits, mark] of [
      [raised, "^"],
      [lowered, "_"],
    ] as const) {
      if (!digits.includes(sign)) continue;
      let [last, number] = [start, ""];
      for (const digit of text.slice(start, start + 20)) {
        if (!digits.includes(digit)) break;
        number += digits.indexOf(digit);
        last += digit.length;
      }
      this.#push("sign", mark);
      this.#push("number", number, { value: { n: BigInt(number), d: 1n } });
      return last;
    }
    const unitEnd = sign === "(" ? this.#unitBrackets(start) : undefined;
    if (unitEnd !== undefined) {
      this.#push("sign", "(");
      this.run(end, unitEnd - 1, true);
      this.#push("sign", ")");
      return unitEnd;
    }
    if (sign === "π") this.#push("letter", "pi");
    else if (sign === "√") this.#push("command", "sqrt");
    // "5!=120": the factorial of a number, and a sign of equality.
    else if (text.startsWith("!=", start) && isDigit(text.charCodeAt(start - 1))) this.#push("sign", "!");
    else if (text.startsWith("**", start)) {
      this.#push("sign", "^");
      return start + 2;
    } else if (text.startsWith("<=", start) || text.startsWith(">=", start) || text.startsWith("!=", start)) {
      this.#push("sign", sign === "<" ? "≤" : sign === ">" ? "≥" : "≠");
      return start + 2;
    } else if (text.startsWith("...", start)) {
      this.#push("sign", "…");
      return start + 3;
    } else if (sign === '"' || sign === "`") this.#space = true;
    else if (sign === "~" || sign === "\u200b" || sign === "\ufeff") this.#space = true;
    else if (/^\p{L}$/u.test(sign)) {
      const letter = greekSigns[sign];
      if (letter !== undefined) this.#push("letter", letter);
      else this.#push("word", sign);
    } else this.#push("sign", unicodeSigns[sign] ?? sign);
    return end;
  }
}

/**
 * The tokens of a text under one reading of what is ambiguous in it.
 *
 * @returns undefined where something cannot be read, or is too long
 */
export const scan = (text: string, reading: Reading, work: Work): Scan | undefined => {
  const scanner = new Scanner(text, reading, work);
  if (!scanner.run(0, text.length, false)) return undefined;
  return { tokens: scanner.tokens, commas: scanner.commas, bareUnits: scanner.bareUnits };
};
