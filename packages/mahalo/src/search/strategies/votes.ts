/** Whole answers that vote: the answer most of them state (Wang et al. 2023, self-consistency), or that scores favour. */
import { winners } from "../../core/votes.ts";
import { independent } from "./best-of-n.ts";
import { bestTotal, type Choice, type Strategy } from "./types.ts";

/** Every answer has one vote; the first of the winning ones is taken, of all where none states an answer. */
export const mostVotes: Choice = {
  votes: true,
  scored: false,
  choose: (finished) => winners(finished, () => 1)[0] ?? finished[0],
};

/**
 * Votes weigh what their answers score, moved to begin at 0; the best of the winning ones is taken, of all where none states
 * an answer.
 */
export const mostWeight: Choice = {
  votes: true,
  scored: true,
  choose: (finished) => {
    const least = Math.min(...finished.map(({ total }) => total));
    return bestTotal(winners(finished, ({ total }) => total - least)) ?? bestTotal(finished);
  },
};

/** Whole answers, each with one vote. */
export const majority: Strategy = {
  summary: "lets whole answers vote",
  scored: false,
  choice: mostVotes,
  ...independent,
};

/** Whole answers whose votes weigh their scores. */
export const weightedVote: Strategy = {
  summary: "lets them vote weighted by their scores",
  scored: false,
  choice: mostWeight,
  ...independent,
};
