/** The method's search: the best candidate of every step is carried on (method, section 4). */
import { bestTotal, type Strategy } from "./types.ts";

export const step: Strategy = {
  scored: true,
  votes: false,
  shape: ({ candidates }) => ({ groups: 1, first: candidates, expand: candidates, keep: 1 }),
  choose: bestTotal,
};
