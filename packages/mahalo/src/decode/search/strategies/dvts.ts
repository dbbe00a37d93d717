/** Independent subtrees, each a search by steps, so that branches stay different (Beeching et al. 2024, DVTS). */
import { bestTotal, type Strategy } from "./types.ts";

export const dvts: Strategy = {
  scored: true,
  votes: false,
  shape: ({ candidates, width }) => ({ groups: width, first: candidates, expand: candidates, keep: 1 }),
  choose: bestTotal,
};
