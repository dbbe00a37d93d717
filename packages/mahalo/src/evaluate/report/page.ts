/** The report page: one HTML file that needs nothing from the network. */
import type { MetricsRow } from "../../train/metrics.ts";
import type { GuidanceResults } from "../guidance.ts";
import type { Results } from "../results.ts";
import { conflictSection } from "./conflict-section.ts";
import { trainingCurves } from "./curves.ts";
import { guidanceSection } from "./guidance-section.ts";
import { type Insert, Markup, markup } from "./markup.ts";
import {
  bestOfSection,
  pairAccuracySection,
  rewardModelsSection,
  runSection,
  samplesSection,
  sweepNumbers,
} from "./sections.ts";
import { pageStyle } from "./style.ts";
import { sweepChart } from "./sweep-chart.ts";

/** The metrics of the training stages, by stage name in order, for example `{ sft: rows, align: rows }`. */
export type StageMetrics = Readonly<Record<string, readonly MetricsRow[]>>;

const stageTitles: Record<string, string> = {
  sft: "Fine-tuning (sft)",
  align: "Alignment (align)",
};

const curvesSection = (metrics: StageMetrics, objectives: readonly string[]): Insert => {
  const stages = Object.entries(metrics).flatMap(([stage, rows]): Insert[] => {
    const curves = trainingCurves(stage, rows, objectives);
    const conflict = conflictSection(stage, rows, objectives);
    return curves || conflict ? [markup`<h3>${stageTitles[stage] ?? stage}</h3>${curves}${conflict}`] : [];
  });
  return (
    stages.length > 0 &&
    markup`<section id="training"><h2>Training</h2><p>Pale lines are the logged values, bold lines their moving average; marks, where there are any, are held-out rows. The reward margin is chosen minus rejected; reward accuracy is the share of pairs ranked right.</p>${stages}</section>`
  );
};

/**
 * The whole page. All text from outside is escaped, a content security policy forbids any request, and the page has
 * no script. It follows the reader's choice of light or dark.
 */
export const reportPage = (results: Results, metrics: StageMetrics, guidance?: GuidanceResults): string => {
  const { sweep, pairAccuracy, rewardModels, bestOf } = results;
  const objectives = results.objectives.map(({ name }) => name);
  const sweepSection =
    sweep &&
    markup`<section id="sweep"><h2>Steering</h2><figure class="wide"><div class="scroll" tabindex="0" role="region" aria-label="Chart of the sweep">${sweepChart(sweep, "sweep")}</div><figcaption>Every mix answers the same ${sweep.prompts} held-out prompts; bars and bands are 95% intervals.</figcaption></figure>${sweepNumbers(sweep)}</section>`;
  const page = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${results.name} · mahalo report</title>
<style>${new Markup(pageStyle())}</style>
</head>
<body>
<header><p class="soft">mahalo report</p><h1>${results.name}</h1>${results.description !== undefined && markup`<p>${results.description}</p>`}</header>
<main>
${sweepSection}
${pairAccuracy && pairAccuracySection(pairAccuracy)}
${rewardModels && rewardModelsSection(rewardModels)}
${guidance && guidanceSection(guidance, objectives)}
${bestOf && bestOfSection(bestOf)}
${curvesSection(metrics, objectives)}
${sweep && sweep.samples.length > 0 && samplesSection(sweep)}
${runSection(results)}
</main>
</body>
</html>
`;
  return page.toString();
};
