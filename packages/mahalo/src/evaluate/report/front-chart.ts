/** The chart of a comparison: every policy's means, two objectives against each other, and each group's front. */
import { need } from "../../core/need.ts";
import type { ComparedGroup, ComparedPoint, Comparison } from "../compare/comparison.ts";
import { frontOf } from "../front.ts";
import { type Insert, Markup, markup } from "./markup.ts";
import { axes, type Frame, legend, line, mark, svg } from "./plot.ts";
import { extent, linear, ticks } from "./scale.ts";
import { svgStyle } from "./style.ts";
import { formatInterval, formatResult } from "./sweep-chart.ts";

/** The objectives of each panel: every two of them. */
export const panelsOf = (objectives: readonly string[]): [x: string, y: string][] =>
  objectives.flatMap((x, index) => objectives.slice(index + 1).map((y): [string, string] => [x, y]));

const meanOf = ({ results }: ComparedPoint, objective: string): number =>
  need(results[objective], `a result on ${objective}`).mean;

/** A point in words. */
const inWords = (
  group: ComparedGroup,
  point: ComparedPoint,
  names: readonly string[],
  shares: boolean,
): string => {
  const texts = names.flatMap((name) => {
    const result = point.results[name];
    if (result === undefined) return [];
    return [
      `${name} ${formatResult(result.mean, shares)} (${formatInterval({ ...result, n: 1, method: "bootstrap" }, shares)})`,
    ];
  });
  return `${group.name}, ${point.label}: ${texts.join(", ")}.`;
};

const width = 720;

/**
 * One panel as an SVG element: a mark a policy, its shape by group, and a line through each group's front. Every mark has
 * its words as a title; the description holds all of them, so that nothing is told by place or colour alone.
 *
 * @param id prefix of the element's ids, unique in the page.
 */
export const frontChart = (
  { groups, shares }: Comparison,
  [x, y]: readonly [string, string],
  id: string,
  background: Insert = false,
): Markup => {
  const title = `${y} against ${x}`;
  const key = legend(
    groups.map(({ name }) => name),
    [78, 46],
    width - 90,
  );
  const top = 46 + key.height + 10;
  const frame: Frame = { left: 78, right: width - 24, top, bottom: top + 380 };
  const values = (name: string): number[] =>
    groups.flatMap(({ points }) => points.map((point) => meanOf(point, name)));
  const [xs, ys] = [extent(values(x), 0.08), extent(values(y), 0.08)];
  const across = linear(xs, [frame.left, frame.right]);
  const up = linear(ys, [frame.bottom, frame.top]);
  const tick = (value: number) => ({ at: value, label: formatResult(value, shares) });
  const drawn = groups.map((group, series): Insert => {
    const means = group.points.map((point) => [meanOf(point, x), meanOf(point, y)] as const);
    const front = frontOf(means)
      .flatMap((index) => (means[index] === undefined ? [] : [means[index]]))
      .toSorted(([a], [b]) => a - b);
    const marks = group.points.map(
      (point): Insert =>
        markup`<g><title>${inWords(group, point, [x, y], shares)}</title>${mark(series, [across(meanOf(point, x)), up(meanOf(point, y))])}</g>`,
    );
    return [
      front.length > 1 &&
        line(
          series,
          front.map(([a, b]) => [across(a), up(b)]),
        ),
      ...marks,
    ];
  });
  const words = groups.flatMap((group) => group.points.map((point) => inWords(group, point, [x, y], shares)));
  return svg(
    id,
    { width, height: frame.bottom + 60, title, description: words.join(" ") },
    background,
    markup`<text class="title" x="20" y="24">${title}</text>`,
    key.drawn,
    axes({
      frame,
      x: across,
      y: up,
      xTicks: ticks(...xs).map(tick),
      yTicks: ticks(...ys).map(tick),
      xLabel: x,
      yLabel: y,
    }),
    drawn,
  );
};

/** A panel as a file of its own: light and dark, with a background. */
export const frontSvg = (comparison: Comparison, panel: readonly [string, string]): string => {
  const background = markup`<style>${new Markup(svgStyle())}</style><rect width="100%" height="100%" rx="6" style="fill:var(--page)"/>`;
  return `${frontChart(comparison, panel, "front", background)}\n`;
};
