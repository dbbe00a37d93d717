/** Numbers in running text: thousands marks, decimals, signs, fractions, currency, units. */

const minus = "[-\\u2212\\u2013]";
const magnitude = "(?:\\d{1,3}(?:,\\d{3})+|\\d+)(?:\\.\\d+)?|\\.\\d+";
const pattern = new RegExp(
  `(?<sign>${minus}\\s?|\\+)?(?:[$€£¥]\\s?)?(?<sign2>${minus})?(?<top>${magnitude})(?:\\s?/\\s?(?<bottom>${magnitude}))?`,
  "gu",
);

const value = (digits: string): number => Number(digits.replaceAll(",", ""));

/**
 * All numbers of a text, from left to right.
 *
 * `$1,234.50`, `-3`, `−3`, `-$3`, `$-3` and `3/4` are one number each; units and per cent signs are left out of
 * account. A minus between two numbers is an operator, not a sign.
 *
 * @example numbersIn("12 - 7 = 5 apples") // [12, 7, 5]
 */
export const numbersIn = (text: string): number[] => {
  const numbers: number[] = [];
  for (const match of text.replaceAll(/\\\$/g, "$").matchAll(pattern)) {
    const { sign, sign2, top, bottom } = match.groups ?? {};
    if (top === undefined) {
      continue;
    }
    const before = match.input.slice(0, match.index);
    // "a-3" and "12 - 3" hold no negative number: the minus there joins two things.
    const joins = /[\p{L}\p{N})\]%]$/u.test(before) || /[\d)\]%]\s+$/u.test(before);
    const negative = sign2 !== undefined || (sign !== undefined && sign !== "+" && !joins);
    const whole = bottom === undefined ? value(top) : value(top) / value(bottom);
    if (Number.isFinite(whole)) {
      numbers.push(negative ? -whole : whole);
    }
  }
  return numbers;
};
