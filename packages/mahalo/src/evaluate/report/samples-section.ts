/** The report's sample answers: one prompt, and beside each other what every policy replied and what was thought of it. */
import type { Sample } from "../results.ts";
import { breakable, type Insert, type Markup, markup } from "./markup.ts";
import { formatNumber } from "./scale.ts";

/** Scores of each step of an answer, below its text; nothing where no reward model scored it. */
const stepScores = ({ steps }: Sample["replies"][number]): Insert => {
  const named = Object.entries(steps ?? {});
  const longest = named.reduce<{ text: string }[]>(
    (most, [, scores]) => (scores.length > most.length ? scores : most),
    [],
  );
  if (longest.length === 0) return false;
  const items = longest.map(({ text }, index): Insert => {
    // A model of whole answers has one score, which stands at the last step.
    const scores = named.flatMap(([objective, given]) => {
      const scored =
        given.length === longest.length
          ? given[index]
          : index === longest.length - 1
            ? given.at(-1)
            : undefined;
      return scored === undefined ? [] : [`${objective} ${formatNumber(scored.score)}`];
    });
    return markup`<li>${text.trim()}<small>${scores.join(" · ")}</small></li>`;
  });
  return markup`<details><summary>scores of each step</summary><ol class="steps">${items}</ol></details>`;
};

const sampleBlock = ({ prompt, reference, replies }: Sample, index: number): Markup => {
  const asked = prompt
    .map(({ role, content }) => (prompt.length > 1 ? `${role}: ${content}` : content))
    .join("\n\n");
  const answers = replies.map((reply): Insert => {
    const { label, response, verdicts } = reply;
    const judged = Object.entries(verdicts).map(([objective, { score, reason }]): Insert => {
      const colour = score === null ? "" : score >= 0.5 ? " good" : " bad";
      const mark = score === null ? "–" : score === 1 ? "✓" : score === 0 ? "✗" : formatNumber(score);
      return markup`<span class="verdict${colour}"><b>${objective} ${mark}</b> ${reason}</span>`;
    });
    return markup`<article class="reply"><h4>${breakable(label)}</h4><p>${response === "" ? "(empty)" : response}</p>${judged}${stepScores(reply)}</article>`;
  });
  return markup`<h3>Prompt ${index + 1}${reference === undefined ? "" : ` (answer: ${reference})`}</h3><div class="question">${asked}</div><div class="scroll" tabindex="0" role="region" aria-label="Answers to prompt ${index + 1}"><div class="replies">${answers}</div></div>`;
};

/** Sample answers side by side, with their verdicts and the scores of their steps. `about` says whose answers they are. */
export const samplesSection = (samples: readonly Sample[], about: string): Markup =>
  markup`<section id="samples"><h2>Sample answers</h2><p>${about} If a run has reward models, their scores of each step are folded below an answer.</p>${samples.map(sampleBlock)}</section>`;
