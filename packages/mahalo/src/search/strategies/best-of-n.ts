/** Whole answers side by side, of which the best is taken; over whole turns this is guidance by an outcome model. */
import { best, type Strategy } from "./types.ts";

/** Answers that do not compete before their ends: each a subtree of one candidate. */
export const independent: Pick<Strategy, "begin" | "step"> = {
  begin: ({ candidates }) => Array.from({ length: candidates }, () => 1),
  step: (competitors) => competitors.map(() => 1),
};

export const bestOfN: Strategy = {
  summary: "chooses among whole answers",
  scored: false,
  choice: best,
  ...independent,
};
