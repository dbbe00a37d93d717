/** How long a text may be before a regular expression could take long on it, from the pattern alone. */

/** Ways in which a part of a pattern can match a text of a length. */
type Ways = (length: number) => number;

/** Ways that a backtracking engine tries in well under a second. */
const budget = 1e8;
const longest = 2 ** 30;
/** Characters of a pattern that is looked at; longer ones count as costly. */
const longestPattern = 10_000;

const quantifier = /^(?:[*+?]|\{(\d+)(,(\d*))?\})/;
const groupStart = /^\((?:\?(?:<?[=!]|<[^>=!]*>|>|[a-z-]*:))?/;

/** Least and most repetitions of a quantifier. */
const bounds = (match: RegExpExecArray): [least: number, most: number] => {
  const [sign, least, comma, most] = match;
  if (sign === "*") return [0, Number.POSITIVE_INFINITY];
  if (sign === "+") return [1, Number.POSITIVE_INFINITY];
  if (sign === "?") return [0, 1];
  if (comma === undefined) return [Number(least), Number(least)];
  return [Number(least), most === "" ? Number.POSITIVE_INFINITY : Number(most)];
};

/** A repeated part: one that can match in one way only has a choice of lengths; others multiply with each repetition. */
const repeated =
  (part: Ways, [least, most]: [number, number]): Ways =>
  (length) => {
    const ways = part(length);
    const choices = Math.max(1, Math.min(most, length) - least + 1);
    return ways === 1 ? choices : choices * ways ** most;
  };

/** Reads a pattern from the left; what it cannot place counts as a character. */
class Reader {
  #rest: string;

  constructor(source: string) {
    this.#rest = source;
  }

  #skip(length: number): void {
    this.#rest = this.#rest.slice(length);
  }

  #skipMatch(pattern: RegExp): boolean {
    const match = pattern.exec(this.#rest);
    if (match === null) return false;
    this.#skip(match[0].length);
    return true;
  }

  /** Alternatives, up to the end or a closing bracket: their ways add up. */
  alternatives(): Ways {
    const all = [this.#sequence()];
    while (this.#skipMatch(/^\|/)) all.push(this.#sequence());
    return (length) => all.reduce((sum, ways) => sum + ways(length), 0);
  }

  /** Parts one behind the other: their ways multiply. */
  #sequence(): Ways {
    const parts: Ways[] = [];
    while (this.#rest !== "" && !/^[|)]/.test(this.#rest)) {
      let part = this.#atom();
      const match = quantifier.exec(this.#rest);
      if (match !== null) {
        this.#skip(match[0].length);
        // Lazy and possessive forms try no more than greedy ones.
        this.#skipMatch(/^[?+]/);
        part = repeated(part, bounds(match));
      }
      parts.push(part);
    }
    return (length) => parts.reduce((product, ways) => product * ways(length), 1);
  }

  #atom(): Ways {
    const single: Ways = () => 1;
    if (this.#skipMatch(groupStart)) {
      const inner = this.alternatives();
      this.#skipMatch(/^\)/);
      return inner;
    }
    // What a back-reference matches depends on the text: it may be of any length.
    if (this.#skipMatch(/^\\(?:[1-9]\d*|k<[^>]*>)/)) return () => Number.POSITIVE_INFINITY;
    if (this.#skipMatch(/^\\[pP]\{[^}]*\}/)) return single;
    if (this.#skipMatch(/^\[\^?\]?(?:\\[\s\S]|[^\]\\])*\]?/)) return single;
    this.#skip(this.#rest.startsWith("\\") ? 2 : 1);
    return single;
  }
}

/**
 * The longest text on which the pattern surely takes little time: a few characters where a repetition holds something that
 * can match in several ways, such as `(a+)+`, whose time doubles with each letter.
 *
 * The ways of matching at one place are an upper bound of what a backtracking engine tries there: those of alternatives
 * add up, those of neighbours multiply, a repetition has as many as it has lengths. They are tried at every place.
 *
 * @example safeLength("\\d+") // 10000
 */
export const safeLength = (source: string): number => {
  if (source.length > longestPattern) return 0;
  const all = new Reader(source).alternatives();
  let safe = 0;
  for (let step = longest; step >= 1; step /= 2) {
    const length = safe + step;
    if (length * all(length) <= budget) safe = length;
  }
  return safe;
};
