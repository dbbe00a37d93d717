/** The page of a comparison: fronts, a table of all policies, and the differences with their verdicts. */
import { join } from "node:path";
import { writeFileAtomic, writeJsonFile } from "../../core/files.ts";
import { element } from "../../core/need.ts";
import type { ComparedGroup, Comparison } from "../compare/comparison.ts";
import type { SeedEstimate } from "../compare/seeds.ts";
import { controlCells, controlHeads, controlMeaning } from "./control-table.ts";
import { frontChart, frontSvg, panelsOf } from "./front-chart.ts";
import { type Insert, type Markup, markup } from "./markup.ts";
import { type MethodMetrics, methodCurves } from "./method-curves.ts";
import { pageFrame } from "./page-frame.ts";
import { samplesSection } from "./samples-section.ts";
import { formatNumber } from "./scale.ts";
import { formatResult } from "./sweep-chart.ts";

const interval = ({ low, high }: SeedEstimate, shares: boolean): string =>
  `${formatResult(low, shares)} to ${formatResult(high, shares)}`;

const estimateCell = (estimate: SeedEstimate | undefined, shares: boolean): Insert =>
  estimate === undefined
    ? markup`<td>–</td>`
    : markup`<td>${formatResult(estimate.mean, shares)}<small>${interval(estimate, shares)}</small></td>`;

/** A column's head; one of words, not of figures, is marked as such. */
type Head = string | { words: string };

const heads = (names: readonly Head[]): Insert =>
  names.map(
    (name): Insert =>
      typeof name === "string"
        ? markup`<th scope="col">${name}</th>`
        : markup`<th scope="col" class="words">${name.words}</th>`,
  );

const table = (label: string, names: readonly Head[], rows: readonly Insert[]): Markup =>
  markup`<div class="scroll" tabindex="0" role="region" aria-label="${label}"><table><thead><tr>${heads(names)}</tr></thead><tbody>${rows}</tbody></table></div>`;

/** A policy's label, with room to break a line between its weights. */
const inWords = (label: string): string => label.replaceAll(",", ", ");

const policyRows = ({ name, points }: ComparedGroup, { objectives, shares }: Comparison): Insert[] =>
  points.map((point): Insert => {
    const cells = objectives.map((objective): Insert => estimateCell(point.results[objective], shares));
    return markup`<tr><th scope="row">${name}</th><td class="words">${inWords(point.label)}</td>${cells}<td>${point.onFront ? "yes" : "no"}</td><td>${formatNumber(point.distinct)}</td><td>${formatNumber(point.words)}</td>${estimateCell(point.kl, false)}</tr>`;
  });

/** What a difference says, in words. */
export const verdictOf = ({ a, b, difference, decided }: Comparison["differences"][number]): string => {
  if (!decided) return "not decided";
  return difference.mean > 0 ? `${a} is above ${b}` : `${b} is above ${a}`;
};

const differenceRows = ({ differences, shares }: Comparison): Insert[] =>
  differences.map((difference): Insert => {
    const asShares = shares && difference.of !== "hypervolume";
    const wins =
      difference.win === undefined
        ? "–"
        : `${formatResult(difference.win.win, true)}, ${formatResult(difference.win.controlled, true)}`;
    return markup`<tr><th scope="row">${difference.a} − ${difference.b}</th><td class="words">${difference.of}</td>${estimateCell(difference.difference, asShares)}<td>${wins}</td><td class="words">${verdictOf(difference)}</td></tr>`;
  });

/** A row a policy, a column an objective; a loss that is decided is told in words, not by colour alone. */
const gainRows = ({ gains, objectives, shares }: Comparison): Insert[] => {
  const rows = new Map<string, Comparison["gains"]>();
  for (const gain of gains) {
    const key = JSON.stringify([gain.name, gain.label]);
    rows.set(key, [...(rows.get(key) ?? []), gain]);
  }
  return [...rows.values()].map((row): Insert => {
    const cells = objectives.map((objective): Insert => {
      const ofObjective = row.find(({ of }) => of === objective);
      if (ofObjective === undefined) return markup`<td>–</td>`;
      const { gain, decided } = ofObjective;
      const word = !decided ? "" : gain.mean > 0 ? "gains, " : "loses, ";
      return markup`<td>${formatResult(gain.mean, shares)}<small>${word}${interval(gain, shares)}</small></td>`;
    });
    const { name, label } = element(row, 0, "gain");
    return markup`<tr><th scope="row">${name}</th><td class="words">${inWords(label)}</td>${cells}</tr>`;
  });
};

const groupRows = ({ groups, shares }: Comparison): Insert[] =>
  groups.map((group): Insert => {
    const seeds = group.runs.map(({ seed }) => seed).join(", ");
    return markup`<tr><th scope="row">${group.name}</th><td>${seeds}</td>${estimateCell(group.hypervolume, false)}<td>${formatResult(group.leastRegret, shares)}</td><td class="words">${inWords(group.centre)}</td></tr>`;
  });

const controlRows = ({ groups }: Comparison): Insert[] =>
  groups.flatMap(({ name, control }) =>
    control.map(
      (measures): Insert =>
        markup`<tr><th scope="row">${name}</th><td class="words">${measures.objective}</td>${controlCells(measures)}</tr>`,
    ),
  );

const samplesAbout = (seed: number | undefined): string =>
  `Prompts of seed ${seed ?? 0}'s runs, each answered by every method that had them, under the mix nearest to equal weights if it has mixes.`;

/** The whole page; see {@link pageFrame}. */
export const comparePage = (comparison: Comparison, metrics: MethodMetrics = {}): string => {
  const { groups, objectives, reference, notes, gains, samples } = comparison;
  const names = groups.map(({ name }) => name);
  const figures = panelsOf(objectives).map(
    (panel, index): Insert =>
      markup`<figure class="wide"><div class="scroll" tabindex="0" role="region" aria-label="Chart of ${panel[1]} against ${panel[0]}">${frontChart(comparison, panel, `front-${index}`)}</div><figcaption>Means over seeds and prompts, one mark per policy; lines join the points of a group that no other point of the group beats on these two objectives. The table below has the numbers.</figcaption></figure>`,
  );
  return pageFrame({ kind: "mahalo comparison", name: names.join(", ") }, [
    notes.length > 0 && markup`<ul>${notes.map((note): Insert => markup`<li>${note}</li>`)}</ul>`,
    figures.length > 0 && markup`<section id="fronts"><h2>Fronts</h2>${figures}</section>`,
    markup`<section id="policies"><h2>Policies</h2><p>Small lines: 95% intervals, by a bootstrap that draws seeds and then prompts. Distinct is the share of different pairs of words; words are means per answer; KL is the divergence from the model before alignment in nats per answer, if the runs measured it.</p>${table(
      "Results of all policies",
      ["method", { words: "policy" }, ...objectives, "on front", "distinct", "words", "KL"],
      groups.flatMap((group) => policyRows(group, comparison)),
    )}</section>`,
    markup`<section id="groups"><h2>Fronts in numbers</h2><p>Hypervolume above (${reference.map(formatNumber).join(", ")}); least regret is the smallest of the largest shortfalls against the best result of each objective.</p>${table("Hypervolume and regret", ["method", "seeds", "hypervolume", "least regret", { words: "compared at" }], groupRows(comparison))}</section>`,
    groups.some(({ control }) => control.length > 0) &&
      markup`<section id="control"><h2>Control</h2><p>${controlMeaning}</p>${table("Measures of control", ["method", { words: "objective" }, ...controlHeads], controlRows(comparison))}</section>`,
    markup`<section id="differences"><h2>Differences</h2><p>Paired over seeds and prompts; between the policies that a method is compared at, or of hypervolumes. Wins: how often the first method's answer scores above the second's (ties count half), and the same at equal length.</p>${table("Differences of methods", ["methods", { words: "of" }, "difference", "wins, at equal length", { words: "verdict" }], differenceRows(comparison))}</section>`,
    gains.length > 0 &&
      markup`<section id="gains"><h2>Gains and interference</h2><p>Each policy minus ${gains[0]?.over ?? "the model"} before alignment, paired over seeds and prompts. If a policy loses on an objective that it was not trained for, training on the others interferes with it; if the interval covers 0, nothing is decided.</p>${table("Gains over the model before alignment", ["method", { words: "policy" }, ...objectives], gainRows(comparison))}</section>`,
    methodCurves(metrics, names, objectives),
    samples !== undefined &&
      samples.length > 0 &&
      samplesSection(samples, samplesAbout(groups[0]?.runs[0]?.seed)),
  ]);
};

/** The files that {@link writeComparison} wrote. */
export type ComparisonFiles = { results: string; html: string; svgs: string[] };

/**
 * Writes results.json, report.html and a figure for every two objectives into a folder. `metrics` are the methods'
 * training metrics, which the page draws.
 *
 * @throws MahaloError E_FILE_WRITE
 */
export const writeComparison = async (
  folder: string,
  comparison: Comparison,
  metrics: MethodMetrics = {},
): Promise<ComparisonFiles> => {
  const panels = panelsOf(comparison.objectives);
  const [results, html] = [join(folder, "results.json"), join(folder, "report.html")];
  await writeJsonFile(results, comparison);
  await writeFileAtomic(html, comparePage(comparison, metrics));
  const svgs: string[] = [];
  for (const panel of panels) {
    const path = join(folder, panels.length === 1 ? "front.svg" : `front-${panel[0]}-${panel[1]}.svg`);
    await writeFileAtomic(path, frontSvg(comparison, panel));
    svgs.push(path);
  }
  return { results, html, svgs };
};
