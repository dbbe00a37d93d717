/** Named random streams derived from one seed: repeatable, and independent of each other. */
import { createHash } from "node:crypto";
import { MahaloError } from "@mahalo/torch";

/** State of a stream: four unsigned 32-bit words, not all zero. */
type RandomState = [number, number, number, number];

const rotl = (x: number, k: number): number => ((x << k) | (x >>> (32 - k))) >>> 0;

/**
 * A pseudo-random generator: xoshiro128** (Blackman and Vigna 2018), 128 bits of state, period 2^128 - 1.
 *
 * Make one with {@link rng}. Not for secrets.
 */
export class Random {
  readonly #words: RandomState;

  constructor(state: RandomState) {
    this.#words = [...state];
  }

  /** The next 32 random bits as an unsigned integer. */
  bits(): number {
    const s = this.#words;
    const result = Math.imul(rotl(Math.imul(s[1], 5) >>> 0, 7), 9) >>> 0;
    const shifted = (s[1] << 9) >>> 0;
    s[2] = (s[2] ^ s[0]) >>> 0;
    s[3] = (s[3] ^ s[1]) >>> 0;
    s[1] = (s[1] ^ s[2]) >>> 0;
    s[0] = (s[0] ^ s[3]) >>> 0;
    s[2] = (s[2] ^ shifted) >>> 0;
    s[3] = rotl(s[3], 11);
    return result;
  }

  /** A uniform number in [0, 1) with 53 random bits. */
  next(): number {
    const high = this.bits() >>> 5;
    const low = this.bits() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /**
   * A uniform integer in [0, n), without bias.
   *
   * @throws MahaloError E_RANDOM_RANGE when n is no whole number in [1, 2^32].
   */
  integer(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 32) {
      throw new MahaloError(
        "E_RANDOM_RANGE",
        `integer(n): n must be a whole number from 1 to 2^32, not ${n}`,
      );
    }
    // Bits above the largest multiple of n would favour small results, so they are drawn again.
    const limit = 2 ** 32 - (2 ** 32 % n);
    let value = this.bits();
    while (value >= limit) value = this.bits();
    return value % n;
  }

  /** A shuffled copy (Fisher and Yates); the array given stays as it is. */
  shuffle<T>(items: readonly T[]): T[] {
    const shuffled = [...items];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T];
    }
    return shuffled;
  }

  /**
   * One item, each equally likely.
   *
   * @throws MahaloError E_RANDOM_RANGE when there are none.
   */
  pick<T>(items: readonly T[]): T {
    return items[this.integer(items.length)] as T;
  }
}

/**
 * The random stream of a name under a seed.
 *
 * The state is the first 128 bits of SHA-256 over seed and names, so streams of different names are independent and
 * adding one never changes another.
 *
 * @example const order = rng(recipe.seed, "train", "order", String(epoch));
 */
export const rng = (seed: number, ...names: string[]): Random => {
  const digest = createHash("sha256")
    .update(JSON.stringify([seed, ...names]))
    .digest();
  const words: RandomState = [0, 4, 8, 12].map((offset) => digest.readUInt32LE(offset)) as RandomState;
  return new Random(words);
};
