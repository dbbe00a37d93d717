/** Beam search over steps: of all branches' candidates the best few are carried on (Snell et al. 2024, section 5.1). */
import { best, type Strategy } from "./types.ts";

export const beam: Strategy = {
  scored: true,
  choice: best,
  shape: ({ candidates, width }) => ({
    groups: 1,
    first: candidates * width,
    expand: candidates,
    keep: width,
  }),
};
