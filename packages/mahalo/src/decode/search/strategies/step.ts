/** The method's search: the best candidate of every step is carried on (method, section 4). */
import { best, type Strategy } from "./types.ts";

export const step: Strategy = {
  scored: true,
  choice: best,
  shape: ({ candidates }) => ({ groups: 1, first: candidates, expand: candidates, keep: 1 }),
};
