/** Beam search over steps: of all branches' candidates the best few are carried on (Snell et al. 2024, section 5.1). */
import { best, keepBest, type Strategy } from "./types.ts";

export const beam: Strategy = {
  summary: "keeps the best few",
  scored: true,
  choice: best,
  begin: ({ candidates, width }) => [candidates * width],
  step: (competitors, { candidates, width }) => keepBest(competitors, width, candidates),
};
