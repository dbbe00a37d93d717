/** Strategies that are not among the named ones, each as one file would have it: REBASE and a particle filter. */
import { element } from "../../core/need.ts";
import { best, type Competitor, type Strategy } from "../strategies/types.ts";

/** Shares of a whole by e^total. */
const shares = (competitors: readonly Competitor[]): number[] => {
  const most = Math.max(...competitors.map(({ total }) => total));
  const weights = competitors.map(({ total }) => Math.exp(total - most));
  const sum = weights.reduce((all, weight) => all + weight, 0);
  return weights.map((weight) => weight / sum);
};

/** A budget of candidates, shared out by reward; answers that have ended keep their part (Wu et al. 2024, REBASE). */
export const rebase: Strategy = {
  summary: "shares a budget of candidates out by their scores",
  scored: true,
  choice: best,
  begin: ({ candidates }) => [candidates],
  step: (competitors, { candidates }) => {
    const live = competitors.filter(({ node }) => node.finish === undefined);
    const budget = candidates - (competitors.length - live.length);
    const parts = new Map(shares(live).map((share, index) => [live[index], Math.round(budget * share)]));
    return competitors.map((competitor) => parts.get(competitor) ?? 1);
  },
};

/** Paths drawn anew by their scores after every step (Puri et al. 2025). */
export const particles: Strategy = {
  summary: "draws paths again by their scores",
  scored: true,
  choice: best,
  begin: ({ candidates }) => [candidates],
  step: (competitors, { candidates }, random) => {
    const drawn = competitors.map(() => 0);
    for (let draw = 0; draw < candidates; draw++) {
      let rest = random.next();
      const place = shares(competitors).findIndex((share) => {
        rest -= share;
        return rest < 0;
      });
      // Rounding may leave the last share a little short.
      const taken = place < 0 ? drawn.length - 1 : place;
      drawn[taken] = element(drawn, taken) + 1;
    }
    return drawn;
  },
};
