/** Score jobs: what reward models say of each step of given answers. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { throwIfAborted } from "../../core/interrupt.ts";
import { element } from "../../core/need.ts";
import { spansOf } from "../../data/tokens/step-boundary.ts";
import { scoreSteps } from "../../scoring/score.ts";
import { encodeScored } from "../../scoring/score-text.ts";
import type { Guides } from "./guides.ts";
import type { ScoredItem, ScoreJob } from "./protocol.ts";
import type { Turnstile } from "./turnstile.ts";

/** Scores one item under every score that is asked for. @throws RowProblem for a text that cannot be scored */
const scoreItem = (
  guides: Guides,
  { guides: names, boundary }: ScoreJob,
  { prompt, response }: ScoreJob["items"][number],
): ScoredItem => {
  const scored = names.map((name) => {
    const { model, objective } = guides.model(name);
    const encoded = encodeScored(model, prompt, response, { objective, boundary });
    const [scores = []] = scoreSteps(model, [encoded]);
    const lengths = encoded.ends.map(
      (end) => model.tokenizer.decode(encoded.response.slice(0, end), { skipSpecial: true }).length,
    );
    return { name, scores, lengths, tokens: encoded.prompt.length + encoded.response.length };
  });
  const first = element(scored, 0, "score");
  const byName = (step: number): Record<string, number> =>
    Object.fromEntries(
      scored.flatMap(({ name, scores }) => {
        const score = scores[step];
        return score === undefined ? [] : [[name, score]];
      }),
    );
  return {
    steps: spansOf(first.lengths).map((span, step) => ({ ...span, scores: byName(step) })),
    tokens: scored.reduce((sum, { tokens }) => sum + tokens, 0),
  };
};

/** How a score job goes on: what ends it, and what lets only a few pieces of such work run at a time. */
type ScoreJobOptions = { signal: AbortSignal; turnstile: Turnstile };

/** Scores all items, one after the other; between two of them others have their turn. */
export const scoreJob = async (
  guides: Guides,
  job: ScoreJob,
  { signal, turnstile }: ScoreJobOptions,
): Promise<ScoredItem[]> => {
  const items: ScoredItem[] = [];
  for (const item of job.items) {
    await turnstile.run(async () => {
      throwIfAborted(signal, "scoring");
      items.push(scoreItem(guides, job, item));
      await nextTurn();
    });
  }
  return items;
};
