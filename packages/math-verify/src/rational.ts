/** Exact fractions of whole numbers of any length, with limits that keep hostile powers from taking the machine. */

/** A fraction in lowest terms; `d` is above 0. */
export type Rational = { readonly n: bigint; readonly d: bigint };

/** Most bits of a numerator or denominator; a result beyond it counts as unknown. */
export const maxBits = 16_384;

/**
 * What one comparison may spend; every node visited and every exact operation takes from it.
 *
 * A unit is about one product of 64-bit words, so the default of 1,000,000 is a fraction of a second.
 */
export type Work = { left: number };

/** Fresh work for one comparison. */
export const newWork = (units = 1_000_000): Work => ({ left: units });

/**
 * Takes units of work.
 *
 * @returns whether there was enough left
 */
export const spend = (work: Work, units = 1): boolean => {
  work.left -= units;
  return work.left >= 0;
};

const limit = 1n << BigInt(maxBits);
const word = 1n << 64n;

const abs = (n: bigint): bigint => (n < 0n ? -n : n);

/** Words of 64 bits that a whole number takes, roughly. */
const words = (n: bigint): number => (abs(n) < word ? 1 : Math.ceil(n.toString(16).length / 16));

const gcd = (a: bigint, b: bigint): bigint => {
  let [x, y] = [abs(a), abs(b)];
  while (y !== 0n) [x, y] = [y, x % y];
  return x;
};

/** n/d in lowest terms; undefined for d = 0, for more than {@link maxBits} bits, and where the work is spent. */
export const rational = (n: bigint, d: bigint, work: Work): Rational | undefined => {
  if (d === 0n || abs(n) >= limit || abs(d) >= limit) return undefined;
  const size = words(n) + words(d);
  if (!spend(work, size * size)) return undefined;
  if (d === 1n) return { n, d };
  const common = d < 0n ? -gcd(n, d) : gcd(n, d);
  return { n: n / common, d: d / common };
};

/** A whole number as a fraction. */
export const whole = (n: bigint | number): Rational => ({ n: BigInt(n), d: 1n });

/** a + b. */
export const add = (a: Rational, b: Rational, work: Work): Rational | undefined =>
  rational(a.n * b.d + b.n * a.d, a.d * b.d, work);

/** a - b. */
export const subtract = (a: Rational, b: Rational, work: Work): Rational | undefined =>
  rational(a.n * b.d - b.n * a.d, a.d * b.d, work);

/** a * b. */
export const multiply = (a: Rational, b: Rational, work: Work): Rational | undefined =>
  rational(a.n * b.n, a.d * b.d, work);

/** 1 / a; undefined for 0. */
export const invert = (a: Rational): Rational | undefined => {
  if (a.n === 0n) return undefined;
  return a.n < 0n ? { n: -a.d, d: -a.n } : { n: a.d, d: a.n };
};

/** -a. */
export const negate = (a: Rational): Rational => ({ n: -a.n, d: a.d });

/** Whether a = b, both in lowest terms. */
export const sameRational = (a: Rational, b: Rational): boolean => a.n === b.n && a.d === b.d;

/** The whole number at or below a. */
export const floor = (a: Rational): bigint => {
  const quotient = a.n / a.d;
  return a.n < 0n && quotient * a.d !== a.n ? quotient - 1n : quotient;
};

/** base^exponent for a whole exponent; undefined where it gets too long, and for 0 to a power of 0 or less. */
export const power = (base: Rational, exponent: bigint, work: Work): Rational | undefined => {
  if (base.n === 0n) return exponent > 0n ? base : undefined;
  if (base.d === 1n && abs(base.n) === 1n) return exponent % 2n === 0n ? whole(1) : base;
  const size = abs(exponent);
  const bits = Math.max(abs(base.n).toString(2).length, base.d.toString(2).length);
  // From 2 bits on, a base doubles at each step; this bound is checked before anything is multiplied.
  if (size > BigInt(maxBits) || Number(size) * (bits - 1) > maxBits) return undefined;
  const estimate = Math.ceil((Number(size) * bits) / 64) + 1;
  if (!spend(work, estimate * estimate)) return undefined;
  const raised = { n: base.n ** size, d: base.d ** size };
  return exponent < 0n ? invert(raised) : raised;
};

/** The whole k-th root of n >= 0 where it has one (Newton's method); undefined otherwise. */
const wholeRoot = (n: bigint, k: bigint): bigint | undefined => {
  if (n < 2n) return n;
  const bits = BigInt(n.toString(2).length);
  if (k >= bits) return undefined;
  let x = 1n << (bits / k + 1n);
  for (;;) {
    const next = ((k - 1n) * x + n / x ** (k - 1n)) / k;
    if (next >= x) break;
    x = next;
  }
  return x ** k === n ? x : undefined;
};

/**
 * The real k-th root of a where it is rational; undefined otherwise. An odd root of a negative number is negative.
 *
 * @param k from 2 to 1,000
 */
export const root = (a: Rational, k: bigint, work: Work): Rational | undefined => {
  if (k < 2n || k > 1000n || (a.n < 0n && k % 2n === 0n)) return undefined;
  const size = words(a.n) + words(a.d);
  // Newton's method takes about as many steps as a root has bits when it starts badly; ours starts within a factor 2.
  if (!spend(work, size * size * 12)) return undefined;
  const top = wholeRoot(abs(a.n), k);
  const bottom = top === undefined ? undefined : wholeRoot(a.d, k);
  if (top === undefined || bottom === undefined) return undefined;
  return { n: a.n < 0n ? -top : top, d: bottom };
};

/** n! for 0 <= n <= 1,500; undefined otherwise. */
export const factorial = (n: bigint, work: Work): Rational | undefined => {
  if (n < 0n || n > 1500n) return undefined;
  if (!spend(work, Number(n) * 20)) return undefined;
  let product = 1n;
  for (let factor = 2n; factor <= n; factor++) product *= factor;
  return product < limit ? whole(product) : undefined;
};

/** The double nearest to a, also where numerator and denominator overflow one. */
export const toDouble = (a: Rational): number => {
  const quick = Number(a.n) / Number(a.d);
  if (Number.isFinite(quick) && quick !== 0) return quick;
  if (a.n === 0n) return 0;
  const shift = a.d.toString(2).length - abs(a.n).toString(2).length + 64;
  const scaled = shift >= 0 ? (abs(a.n) << BigInt(shift)) / a.d : abs(a.n) / (a.d << BigInt(-shift));
  // Two steps, since 2^-shift alone may lie outside a double's range.
  const half = Math.trunc(shift / 2);
  const value = Number(scaled) * 2 ** -half * 2 ** -(shift - half);
  return a.n < 0n ? -value : value;
};

/**
 * The value of decimal digits: an optional sign, digits, optionally a point and digits. No spaces or thousands marks.
 *
 * @param repeating digits that repeat for ever after the last one: `0.1` with `6` is 1/6.
 * @param exponent power of ten that the value is multiplied by, between -5,000 and 5,000.
 */
export const decimal = (
  digits: string,
  work: Work,
  { repeating = "", exponent = 0 }: { repeating?: string; exponent?: number } = {},
): Rational | undefined => {
  if (digits.length + repeating.length > 4800 || Math.abs(exponent) > 4800) return undefined;
  const point = digits.indexOf(".");
  const places = point < 0 ? 0 : digits.length - point - 1;
  const units = BigInt(point < 0 ? digits : digits.slice(0, point) + digits.slice(point + 1));
  const scale = 10n ** BigInt(places);
  const shift = 10n ** BigInt(Math.abs(exponent));
  const [up, down] = exponent < 0 ? [1n, shift] : [shift, 1n];
  if (repeating === "") return rational(units * up, scale * down, work);
  const nines = 10n ** BigInt(repeating.length) - 1n;
  const all = abs(units) * nines + BigInt(repeating);
  return rational((digits.startsWith("-") ? -all : all) * up, scale * nines * down, work);
};
