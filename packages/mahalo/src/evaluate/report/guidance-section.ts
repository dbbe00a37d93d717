/** The report's section on guided search: a table of policies with and without guidance, gains and tokens. */
import { describeWeights, type GuidanceResults, type GuidedPoint } from "../guidance.ts";
import type { Estimate } from "../intervals.ts";
import { type Insert, type Markup, markup } from "./markup.ts";
import { formatNumber } from "./scale.ts";
import { formatInterval, formatResult } from "./sweep-chart.ts";

const signed = ({ mean }: Estimate): string => `${mean >= 0 ? "+" : "−"}${formatNumber(Math.abs(mean))}`;

const cell = ({ results, gains }: GuidedPoint, objective: string): Insert => {
  const estimate = results[objective];
  if (estimate === undefined) return markup`<td>–</td>`;
  const shares = estimate.low >= 0 && estimate.high <= 1;
  const gain = gains?.[objective];
  return markup`<td>${formatResult(estimate.mean, shares)}<small>${formatInterval(estimate, shares)}</small>${
    gain !== undefined && markup`<small>${signed(gain)} (${formatInterval(gain, false)})</small>`
  }</td>`;
};

/** Every policy unguided and under each guidance; under a guided result its paired difference from the unguided one. */
export const guidanceSection = (guidance: GuidanceResults, objectives: readonly string[]): Markup => {
  const judged = objectives.filter((name) =>
    guidance.points.some(({ results }) => results[name] !== undefined),
  );
  const rows = guidance.points.map((point): Insert => {
    const name = [point.policy, describeWeights(point.mix)].filter((part) => part !== "").join(": ");
    const by = describeWeights(point.guidance) || "nothing";
    const { answer, generated, scored } = point.tokens;
    const cells = judged.map((objective): Insert => cell(point, objective));
    return markup`<tr><th scope="row">${name}</th><td>${by}</td>${cells}<td>${Math.round(answer)}</td><td>${Math.round(generated)}</td><td>${Math.round(scored)}</td></tr>`;
  });
  const heads = judged.map((name): Insert => markup`<th scope="col">${name}</th>`);
  const { strategy, candidates } = guidance.search;
  return markup`<section id="guidance"><h2>Guided search</h2><p>${guidance.prompts} held-out prompts; strategy ${String(strategy)}, ${String(candidates)} candidates, sampled at temperature ${String(guidance.sampling.temperature)}. Small lines: the 95% interval, and the paired difference from the same policy unguided. Tokens are means per prompt.</p><div class="scroll" tabindex="0" role="region" aria-label="Policies with and without guidance"><table><thead><tr><th scope="col">policy</th><th scope="col">guided by</th>${heads}<th scope="col">answer tokens</th><th scope="col">generated</th><th scope="col">scored</th></tr></thead><tbody>${rows}</tbody></table></div></section>`;
};
