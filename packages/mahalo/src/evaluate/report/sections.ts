/** The report's sections beside its charts: what was run, the tables of numbers. */
import { formatCount, formatDuration, formatShare } from "../../core/format.ts";
import { need } from "../../core/need.ts";
import { formatRows } from "../../data/rows/problems.ts";
import type { Estimate } from "../intervals.ts";
import type { BestOf, PairAccuracy, Results, Steering, SweepResults } from "../results.ts";
import { controlCells, controlHeads, controlMeaning } from "./control-table.ts";
import { breakable, type Insert, type Markup, markup } from "./markup.ts";
import { formatNumber } from "./scale.ts";
import { areShares, formatInterval, formatResult, judgedObjectives } from "./sweep-chart.ts";

const rewardMetricNames = ["accuracy", "auc", "ece", "correlation", "margin", "loss"];

const facts = (entries: readonly (readonly [string, string | number | boolean])[]): Markup =>
  markup`<dl>${entries.map(([name, value]): Insert => markup`<dt>${name}</dt><dd>${String(value)}</dd>`)}</dl>`;

/** How many rows were read and what became of them; nothing where results.json does not say. */
const rowsRead = (rows: Results["rows"]): Insert =>
  rows !== undefined &&
  markup`<h3>Rows</h3><p>${formatRows(rows.seen)} read${rows.bad > 0 ? `, of which ${formatCount(rows.bad)} cannot be used` : ""}.</p>${
    rows.told.length > 0 &&
    markup`<ul>${rows.told.map(({ what, rows: count }): Insert => markup`<li>${count > 0 ? `${formatRows(count)}: ` : ""}${what}</li>`)}</ul>`
  }`;

/** What was run: model, times, machine, and the resolved recipe to open. */
export const runSection = (results: Results): Markup => {
  const total = results.stages.reduce((sum, { seconds }) => sum + seconds, 0);
  const times = results.stages.map(({ name, seconds }) => [name, formatDuration(seconds)] as const);
  const objectives = results.objectives.map(
    ({ name, description, judge }) =>
      [
        name,
        [description, judge ? `judge: ${judge}` : undefined].filter(Boolean).join(" · ") || "pairs only",
      ] as const,
  );
  return markup`<section id="run"><h2>What was run</h2>${facts([
    ["model", results.model],
    ["seed", results.seed],
    ["mahalo", results.mahalo],
    ["finished", results.finished],
  ])}<h3>Objectives</h3>${facts(objectives)}${rowsRead(results.rows)}<h3>Times</h3>${facts([...times, ["in all", formatDuration(total)]])}<h3>Machine</h3>${facts(
    Object.entries(results.machine),
  )}<details><summary>Recipe, with all defaults</summary><pre>${results.recipe}</pre></details></section>`;
};

/** A difference as text: percentage points for shares. */
const amount = (value: number, share: boolean): string =>
  formatNumber(share ? Number((value * 100).toFixed(1)) : value);

/** Whether a sweep steers, in a sentence for each objective. */
const steeringSentence = (
  { objective, ownEnd, otherEnd, difference, apart }: Steering,
  sweep: SweepResults,
): Markup => {
  const share = areShares(sweep);
  const result = (label: string): string => {
    const point = sweep.points.find((point) => point.label === label);
    return formatResult(
      need(point?.results[objective], `the result of ${label} on ${objective}`).mean,
      share,
    );
  };
  const unit = share ? " points" : "";
  const verdict = apart
    ? "The intervals of the two ends do not overlap."
    : "The intervals of the two ends overlap, so this run does not show that the mix steers it.";
  return markup`<p><strong>${objective}</strong>: ${result(otherEnd)} at ${breakable(otherEnd)}, ${result(ownEnd)} at ${breakable(ownEnd)}; a difference of ${amount(difference.mean, share)}${unit} (95% interval ${amount(difference.low, share)} to ${amount(difference.high, share)}${unit}, paired by prompt). ${verdict}</p>`;
};

/** Measures of control, a row for each objective; nothing in results of earlier versions. */
const controlTable = (sweep: SweepResults): Insert => {
  const { control = [] } = sweep;
  if (control.length === 0) return false;
  const shares = areShares(sweep);
  const effect = ([name, { mean, low, high }]: [string, Estimate]): string =>
    `${name} ${mean > 0 ? "+" : ""}${amount(mean, shares)} (${amount(low, shares)} to ${amount(high, shares)})`;
  const rows = control.map((measures): Insert => {
    const effects = Object.entries(measures.sideEffects).map(effect).join("; ");
    return markup`<tr><th scope="row">${measures.objective}</th>${controlCells(measures)}<td class="words">${effects === "" ? "–" : effects}</td></tr>`;
  });
  const heads = controlHeads.map((name): Insert => markup`<th scope="col">${name}</th>`);
  const unit = shares ? ", in points" : "";
  return markup`<h3>Control</h3><p>${controlMeaning} Side effects are what an objective's own end does to the others, against the model before alignment${unit}.</p><div class="scroll" tabindex="0" role="region" aria-label="Measures of control"><table><thead><tr><th scope="col">objective</th>${heads}<th scope="col" class="words">side effects</th></tr></thead><tbody>${rows}</tbody></table></div>`;
};

/** The scale of positions with the mix of each measured one; nothing where the sweep has none. */
const scaleTable = ({ scale }: SweepResults): Insert => {
  if (scale === undefined) return false;
  const [first, second] = scale.objectives;
  const rows = scale.points.map(
    ({ weight, position, low, high }): Insert =>
      markup`<tr><th scope="row">${formatNumber(Number(position.toFixed(2)))}</th><td>${formatNumber(Number(low.toFixed(2)))} to ${formatNumber(Number(high.toFixed(2)))}</td><td>${formatNumber(Number((1 - weight).toFixed(4)))}</td><td>${formatNumber(Number(weight.toFixed(4)))}</td></tr>`,
  );
  return markup`<h3>Positions</h3><p>From 0, all of ${first}, to 1, all of ${second}, results move evenly; <code>--at</code> takes a position in place of weights. A position is how far results have come from one end to the other, as measured (95% interval), and fitted so that it never falls.</p><div class="scroll" tabindex="0" role="region" aria-label="Scale of positions"><table><thead><tr><th scope="col">position</th><th scope="col">as measured</th><th scope="col">weight of ${first}</th><th scope="col">of ${second}</th></tr></thead><tbody>${rows}</tbody></table></div>`;
};

/** The steering sentences and the table of all results of a sweep. */
export const sweepNumbers = (sweep: SweepResults): Markup => {
  const objectives = judgedObjectives(sweep);
  const share = areShares(sweep);
  const head = objectives.map((name): Insert => markup`<th scope="col">${name}</th>`);
  const measured = sweep.points.some(({ kl }) => kl !== undefined);
  const klCell = (kl: Estimate | undefined): Insert =>
    kl === undefined
      ? markup`<td>–</td>`
      : markup`<td>${formatResult(kl.mean, false)}<small>${formatInterval(kl, false)}</small></td>`;
  const rows = sweep.points.map(
    ({ label, results, kl }): Insert =>
      markup`<tr><th scope="row">${breakable(label)}</th>${objectives.map((name): Insert => {
        const result = results[name];
        return result
          ? markup`<td>${formatResult(result.mean, share)}<small>${formatInterval(result, share)}</small></td>`
          : markup`<td>–</td>`;
      })}${measured && klCell(kl)}</tr>`,
  );
  const decoding = Object.entries(sweep.decoding).map(([name, value]) => `${name} ${value}`);
  const methods = new Set(
    sweep.points.flatMap(({ results }) => Object.values(results).map(({ method }) => method)),
  );
  const intervals = [...methods].map((method) => (method === "wilson" ? "Wilson" : "bootstrap")).join(" or ");
  return markup`${sweep.steering.map((steering): Insert => steeringSentence(steering, sweep))}<p class="soft">Results on ${sweep.prompts} held-out prompts, the same for every row; below each its 95% interval (${intervals}).${decoding.length > 0 ? ` Decoding: ${decoding.join(", ")}.` : ""}${measured ? " KL is how far a policy is from the model before alignment, in nats per answer, along its own answers." : ""}</p><div class="scroll" tabindex="0" role="region" aria-label="Table of results"><table><thead><tr><th scope="col">mix</th>${head}${measured && markup`<th scope="col">KL (nats)</th>`}</tr></thead><tbody>${rows}</tbody></table></div>${controlTable(sweep)}${scaleTable(sweep)}`;
};

const accuracyTable = (
  { heads, objectives }: PairAccuracy,
  label: string,
  of: (head: string, objective: string) => Estimate | undefined,
): Markup => {
  const rows = heads.flatMap((head): Insert[] => {
    const estimates = objectives.map((objective) => of(head, objective));
    if (estimates.every((estimate) => estimate === undefined)) return [];
    const row = estimates.map((estimate, index): Insert => {
      if (estimate === undefined) return markup`<td>–</td>`;
      const look = head === objectives[index] ? "heat own" : "heat";
      return markup`<td class="${look}" style="--share:${Math.max(0, Math.min(1, estimate.mean * 2 - 1)).toFixed(3)}">${formatShare(estimate.mean)}<small>${formatInterval(estimate, true)} · n ${estimate.n}</small></td>`;
    });
    return [markup`<tr><th scope="row">${head}</th>${row}</tr>`];
  });
  const head = objectives.map((name): Insert => markup`<th scope="col">${name} pairs</th>`);
  return markup`<div class="scroll" tabindex="0" role="region" aria-label="${label}"><table><thead><tr><th scope="col">head</th>${head}</tr></thead><tbody>${rows}</tbody></table></div>`;
};

/** Every head's accuracy on every objective's held-out pairs, as a table; the head's own objective is marked. */
export const pairAccuracySection = (accuracy: PairAccuracy): Markup => {
  const cell = (head: string, objective: string) =>
    accuracy.cells.find((cell) => cell.head === head && cell.objective === objective);
  const rewards =
    accuracy.reference !== undefined &&
    markup`<h3>By reward</h3><p>Share of held-out pairs whose chosen response gained on the rejected one against ${accuracy.reference}, which is what preference training optimises.</p>${accuracyTable(accuracy, "Pair accuracy by reward", (head, objective) => cell(head, objective)?.rewardAccuracy)}`;
  return markup`<section id="pair-accuracy"><h2>Held-out pairs</h2><p>Share of held-out pairs whose chosen response gets the higher log-probability; 50% is chance if the two responses have the same length. A head's own objective is framed.</p>${accuracyTable(accuracy, "Pair accuracy of each head on each objective", (head, objective) => cell(head, objective)?.accuracy)}${rewards}</section>`;
};

/** Held-out metrics of the reward models. */
export const rewardModelsSection = (models: NonNullable<Results["rewardModels"]>): Markup => {
  const rows = Object.entries(models).flatMap(([model, metrics]): Insert[] => {
    const objectives = [
      ...new Set(Object.keys(metrics).flatMap((name) => /^(.+)\/[^/]+$/.exec(name)?.[1] ?? [])),
    ];
    return objectives.map((objective): Insert => {
      const cells = rewardMetricNames.map((name): Insert => {
        const value = metrics[`${objective}/${name}`];
        return markup`<td>${value === undefined ? "–" : formatNumber(value)}</td>`;
      });
      return markup`<tr><th scope="row">${objective}${model === objective ? "" : ` (${model})`}</th>${cells}</tr>`;
    });
  });
  const head = rewardMetricNames.map((name): Insert => markup`<th scope="col">${name}</th>`);
  return markup`<section id="reward-models"><h2>Reward models</h2><p>On held-out rows: steps whose labels are above 0.5, or pairs.</p><div class="scroll" tabindex="0" role="region" aria-label="Metrics of the reward models"><table><thead><tr><th scope="col">objective</th>${head}</tr></thead><tbody>${rows}</tbody></table></div></section>`;
};

const signed = (estimate: Estimate): string =>
  `${estimate.mean >= 0 ? "+" : "−"}${formatNumber(Math.abs(estimate.mean))} (${formatInterval(estimate, false)})`;

const bestOfBlock = (bestOf: BestOf): Markup => {
  const shares = [bestOf.one, bestOf.any, ...Object.values(bestOf.byModel)].every(
    ({ low, high }) => low >= 0 && high <= 1,
  );
  const ways: [string, Estimate | undefined][] = [
    ["one sample", bestOf.one],
    ["majority vote", bestOf.votes],
    ["vote weighted by the reward model", bestOf.weightedVotes],
    ...Object.entries(bestOf.byModel).map(([name, estimate]): [string, Estimate] => [
      `best by the reward model, ${name} of its steps`,
      estimate,
    ]),
    ["best choice possible", bestOf.any],
  ];
  const rows = ways.flatMap(([name, estimate]): Insert[] =>
    estimate === undefined
      ? []
      : [
          markup`<tr><th scope="row">${name}</th><td>${formatResult(estimate.mean, shares)}<small>${formatInterval(estimate, shares)}</small></td></tr>`,
        ],
  );
  const differences = [
    `Best by the last step against one sample: ${signed(bestOf.gain)}.`,
    ...(bestOf.overVotes ? [`Against the vote: ${signed(bestOf.overVotes)}.`] : []),
    ...(bestOf.stepAuc
      ? [
          `Area under the curve of single steps, right answers against wrong ones: ${formatNumber(bestOf.stepAuc.mean)} (${formatInterval(bestOf.stepAuc, false)}).`,
        ]
      : []),
    ...(bestOf.promptAuc
      ? [
          `Of last steps among the answers to one prompt, ${bestOf.promptAuc.n} prompts with both: ${formatNumber(bestOf.promptAuc.mean)} (${formatInterval(bestOf.promptAuc, false)}).`,
        ]
      : []),
  ].join(" ");
  return markup`<h3>${bestOf.objective}</h3><p>${bestOf.prompts} held-out prompts, ${formatNumber(bestOf.samples)} samples each. ${differences}</p><div class="scroll" tabindex="0" role="region" aria-label="Best of n for ${bestOf.objective}"><table><thead><tr><th scope="col">choice</th><th scope="col">result</th></tr></thead><tbody>${rows}</tbody></table></div>`;
};

/** What choosing among sampled answers gains. */
export const bestOfSection = (results: readonly BestOf[]): Markup =>
  markup`<section id="best-of"><h2>Best of n</h2><p>Answers of the model before alignment, sampled once; every way of choosing uses the same answers.</p>${results.map((result): Insert => bestOfBlock(result))}</section>`;
