/** Whole answers side by side, of which the best is taken; over whole turns this is guidance by an outcome model. */
import { best, type Shape, type Sizes, type Strategy } from "./types.ts";

/** Answers that do not compete before their ends. */
export const independent = ({ candidates }: Sizes): Shape => ({
  groups: candidates,
  first: 1,
  expand: 1,
  keep: 1,
});

export const bestOfN: Strategy = { scored: false, choice: best, shape: independent };
