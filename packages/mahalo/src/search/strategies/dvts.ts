/** Independent subtrees, each a search by steps, so that branches stay different (Beeching et al. 2024, DVTS). */
import { step } from "./step.ts";
import { best, type Strategy } from "./types.ts";

export const dvts: Strategy = {
  summary: "keeps the best of each subtree",
  scored: true,
  choice: best,
  begin: ({ candidates, width }) => Array.from({ length: width }, () => candidates),
  step: step.step,
};
