/** The report page of a run. */
import type { MetricsRow } from "../../train/metrics.ts";
import type { GuidanceResults } from "../guidance.ts";
import type { Results } from "../results.ts";
import { conflictSection } from "./conflict-section.ts";
import { trainingCurves } from "./curves.ts";
import { guidanceSection } from "./guidance-section.ts";
import { type Insert, markup } from "./markup.ts";
import { pageFrame } from "./page-frame.ts";
import { samplesSection } from "./samples-section.ts";
import {
  bestOfSection,
  pairAccuracySection,
  rewardModelsSection,
  runSection,
  sweepNumbers,
} from "./sections.ts";
import { sweepChart } from "./sweep-chart.ts";

/** The metrics of the training stages, by stage name in order, for example `{ sft: rows, align: rows }`. */
export type StageMetrics = Readonly<Record<string, readonly MetricsRow[]>>;

const stageTitles: Record<string, string> = {
  sft: "Fine-tuning (sft)",
  align: "Alignment (align)",
};

const samplesAbout = "Prompts drawn at random by the run's seed; each answered under every mix.";

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

/** The whole page of a run; see {@link pageFrame}. */
export const reportPage = (results: Results, metrics: StageMetrics, guidance?: GuidanceResults): string => {
  const { sweep, pairAccuracy, rewardModels, bestOf, name, description } = results;
  const objectives = results.objectives.map(({ name }) => name);
  const sweepSection =
    sweep &&
    markup`<section id="sweep"><h2>Steering</h2><figure class="wide"><div class="scroll" tabindex="0" role="region" aria-label="Chart of the sweep">${sweepChart(sweep, "sweep")}</div><figcaption>Every mix answers the same ${sweep.prompts} held-out prompts; bars and bands are 95% intervals.</figcaption></figure>${sweepNumbers(sweep)}</section>`;
  return pageFrame({ kind: "mahalo report", name, description }, [
    sweepSection,
    pairAccuracy && pairAccuracySection(pairAccuracy),
    rewardModels && rewardModelsSection(rewardModels),
    guidance && guidanceSection(guidance, objectives),
    bestOf && bestOfSection(bestOf),
    curvesSection(metrics, objectives),
    sweep && sweep.samples.length > 0 && samplesSection(sweep.samples, samplesAbout),
    runSection(results),
  ]);
};
