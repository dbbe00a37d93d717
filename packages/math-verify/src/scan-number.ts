/** Reads one number as people write it: thousands marks, decimals, repeating digits, dots, powers of ten. */
import { decimal, type Rational, type Work } from "./rational.ts";

/** A number in a text. */
export type ScannedNumber = {
  /** Its digits and point as written, without thousands marks. */
  text: string;
  value: Rational;
  /** Digits after the point, where it has one. */
  digits?: number;
  /** Whether dots follow the digits. */
  cut?: boolean;
  /** Whether commas were taken for thousands marks. */
  commas: boolean;
  /** Where the text goes on. */
  end: number;
};

/** Whether a UTF-16 unit is a digit from 0 to 9. */
export const isDigit = (code: number): boolean => code >= 48 && code <= 57;

/** Where the digits that begin at `start` end. */
const digitsEnd = (text: string, start: number): number => {
  let end = start;
  while (isDigit(text.charCodeAt(end))) end++;
  return end;
};

/** What may stand between groups of three digits; those with a comma first. */
const separators = ["{,}", ",\\!", "{,}\\!", ",", "\\,", "\\ ", "{\\,}", "\u00a0", "\u202f", "\u2009", " "];

/** Length of a thousands mark at `start` with three digits and no more behind it, and whether it is a mere comma; or undefined. */
const thousands = (
  text: string,
  start: number,
  commas: boolean,
): { length: number; comma: boolean } | undefined => {
  for (const mark of separators) {
    if (!text.startsWith(mark, start) || (mark === "," && !commas)) continue;
    const from = start + mark.length;
    if (digitsEnd(text, from) === from + 3) return { length: mark.length, comma: mark === "," };
  }
  return undefined;
};

const openings = ["\\overline{", "\\bar{", "\\dot{", "\\overline ", "\\bar "];

/** Digits under a line after a decimal point: what repeats, and where it ends. */
const repeatingDigits = (text: string, start: number): { digits: string; end: number } | undefined => {
  const opening = openings.find((opening) => text.startsWith(opening, start));
  if (opening === undefined) return undefined;
  const from = start + opening.length;
  const end = opening.endsWith("{") ? digitsEnd(text, from) : Math.min(digitsEnd(text, from), from + 1);
  if (end === from) return undefined;
  if (!opening.endsWith("{")) return { digits: text.slice(from, end), end };
  return text[end] === "}" ? { digits: text.slice(from, end), end: end + 1 } : undefined;
};

/**
 * The exponent of `1.5e-3`: E or e, a sign, digits.
 *
 * A small e is Euler's number where the text may be algebra: `2e-3` is read as 2e - 3, but `1e-6`, `2.5e-3` and `2e10`
 * as powers of ten.
 */
const exponent = (
  text: string,
  start: number,
  mantissa: string,
): { value: number; end: number } | undefined => {
  const letter = text[start];
  if (letter !== "e" && letter !== "E") return undefined;
  const sign = text[start + 1] === "-" || text[start + 1] === "+" ? 1 : 0;
  const from = start + 1 + sign;
  const end = digitsEnd(text, from);
  const length = end - from;
  if (length === 0 || length > 4) return undefined;
  if (letter === "e" && mantissa !== "1" && !mantissa.includes(".") && length < 2) return undefined;
  return { value: Number(text.slice(start + 1, end)), end };
};

const dots = ["...", "\\ldots", "\\dots", "\\cdots", "…"];

/**
 * The number that begins at `start`, where a digit or a point before a digit stands.
 *
 * @param commas whether a comma before exactly three digits is a thousands mark.
 * @returns undefined for numbers that are too long
 */
export const scanNumber = (
  text: string,
  start: number,
  commas: boolean,
  work: Work,
): ScannedNumber | undefined => {
  let end = digitsEnd(text, start);
  let digits = text.slice(start, end);
  let marked = false;
  if (digits.length >= 1 && digits.length <= 3 && digits !== "0") {
    for (let next = thousands(text, end, commas); next !== undefined; next = thousands(text, end, commas)) {
      end += next.length + 3;
      digits += text.slice(end - 3, end);
      marked ||= next.comma;
      if (digits.length > 4800) return undefined;
    }
  }
  let places: number | undefined;
  let repeating = "";
  let cut = false;
  if (
    text[end] === "." &&
    (isDigit(text.charCodeAt(end + 1)) || repeatingDigits(text, end + 1) !== undefined)
  ) {
    const from = end + 1;
    end = digitsEnd(text, from);
    digits = `${digits || "0"}.${text.slice(from, end)}`;
    places = end - from;
    const again = repeatingDigits(text, end);
    if (again !== undefined) {
      repeating = again.digits;
      end = again.end;
      places = undefined;
    } else {
      const following = dots.find((dot) => text.startsWith(dot, end));
      if (following !== undefined) {
        cut = true;
        end += following.length;
      }
    }
  }
  const scale = cut || repeating !== "" ? undefined : exponent(text, end, digits);
  if (scale !== undefined) {
    end = scale.end;
    places = places === undefined ? undefined : places - scale.value;
  }
  const value = decimal(digits, work, { repeating, exponent: scale?.value ?? 0 });
  if (value === undefined) return undefined;
  return {
    text: digits,
    value,
    ...(places === undefined ? {} : { digits: places }),
    ...(cut ? { cut } : {}),
    commas: marked,
    end,
  };
};
