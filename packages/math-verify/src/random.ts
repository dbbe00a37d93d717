/** Seeded random numbers for the points at which algebra is compared. Not for secrets. */

/**
 * A stream of uniform numbers in [0, 1) with 32 random bits: mulberry32, a 32-bit counter through a mixing function.
 *
 * @param seed whole number; neighbouring seeds give unrelated streams
 * @param index which of a seed's streams
 */
export function uniform(seed: number, index: number): () => number {
  let state = (Math.imul(seed | 0, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
