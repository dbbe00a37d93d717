/** Times of day: `3 pm`, `3:30 p.m.`, `15:30`, `noon`; compared by the minute. */

/** Minutes since midnight; `half` says whether morning or afternoon is known. */
type Time = { minutes: number; half: boolean; clock: boolean };

const pattern =
  /^(\d{1,2})(?::([0-5]\d))?(?::([0-5]\d))?\s*(?:([ap])\.?\s?m\b\.?|(noon|midnight)|o['’]?clock)?$/i;

/** The time that a text says; a bare number is one only beside another time. */
const readTime = (text: string): Time | undefined => {
  const plain = text
    .replaceAll(/\\(?:text|mathrm|textbf)\s*\{([^{}]*)\}/g, " $1 ")
    .replaceAll(/[$~{}]|\\[ ,;!:]/g, " ")
    .replaceAll(/\s+/g, " ")
    .replaceAll(/ ?: ?/g, ":")
    .trim()
    .replace(/ on \w+$/, "");
  const alone = /^(?:12 )?(noon|midnight)$/i.exec(plain)?.[1]?.toLowerCase();
  if (alone !== undefined) return { minutes: alone === "noon" ? 720 : 0, half: true, clock: true };
  const [all, hour, minute = "0", second = "0", half] = pattern.exec(plain) ?? [];
  if (all === undefined || hour === undefined || Number(hour) > 24) return undefined;
  const clock = all !== hour;
  if (half === undefined) {
    const minutes = Number(hour) * 60 + Number(minute) + Number(second) / 60;
    return { minutes, half: Number(hour) > 12 || Number(hour) === 0, clock };
  }
  if (Number(hour) > 12) return undefined;
  const hours = (Number(hour) % 12) + (half.toLowerCase() === "p" ? 12 : 0);
  return { minutes: hours * 60 + Number(minute) + Number(second) / 60, half: true, clock };
};

const looksLikeTime = /[ap]\.?\s?m\b|noon|midnight|o['’]?clock/i;

/**
 * Whether two answers of which one is clearly a time of day are the same time; undefined where none is.
 *
 * Where one does not say which half of the day it means, as a unit may be left out, `3:00` is both `3 am` and `3 pm`.
 */
export const sameTime = (first: string, second: string): boolean | undefined => {
  if (!looksLikeTime.test(first) && !looksLikeTime.test(second)) return undefined;
  const [a, b] = [readTime(first), readTime(second)];
  if (a === undefined || b === undefined || !(a.clock || b.clock)) return undefined;
  return a.half && b.half ? a.minutes === b.minutes : a.minutes % 720 === b.minutes % 720;
};
