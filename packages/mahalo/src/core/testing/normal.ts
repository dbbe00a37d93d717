/** Normal numbers for tests. */
import type { Random } from "../random.ts";

/** A standard normal number (Box and Muller 1958), out of two uniform ones. */
export function normal(random: Random): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random.next()));
  return radius * Math.cos(2 * Math.PI * random.next());
}
