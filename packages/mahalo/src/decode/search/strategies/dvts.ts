/** Independent subtrees, each a search by steps, so that branches stay different (Beeching et al. 2024, DVTS). */
import { best, type Strategy } from "./types.ts";

export const dvts: Strategy = {
  scored: true,
  choice: best,
  shape: ({ candidates, width }) => ({ groups: width, first: candidates, expand: candidates, keep: 1 }),
};
