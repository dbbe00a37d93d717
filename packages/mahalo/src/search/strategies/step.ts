/** The method's search: the best candidate of every step is carried on (method, section 4). */
import { best, keepBest, type Strategy } from "./types.ts";

export const step: Strategy = {
  summary: "keeps the best candidate of every step",
  scored: true,
  choice: best,
  onePath: true,
  begin: ({ candidates }) => [candidates],
  step: (competitors, { candidates }) => keepBest(competitors, 1, candidates),
};
