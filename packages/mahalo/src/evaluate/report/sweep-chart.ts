/** The chart of a sweep: every objective's result under every mix, with 95% intervals, and the baselines beside it. */
import { formatShare } from "../../core/format.ts";
import { element } from "../../core/need.ts";
import { weightIn } from "../../model/heads/mix-weight.ts";
import type { Estimate } from "../intervals.ts";
import type { SweepPoint, SweepResults } from "../results.ts";
import { type Insert, Markup, markup } from "./markup.ts";
import { axes, band, errorBar, type Frame, legend, line, mark, type Point, svg, type Tick } from "./plot.ts";
import { extent, formatNumber, linear, type Scale, ticks } from "./scale.ts";
import { svgStyle } from "./style.ts";

/** Objectives that have results, in the order of the first point. */
export const judgedObjectives = ({ points }: SweepResults): string[] => Object.keys(points[0]?.results ?? {});

/** Whether all results lie in [0, 1], so that they read as shares. */
export const areShares = ({ points }: SweepResults): boolean =>
  points.every(({ results }) => Object.values(results).every(({ low, high }) => low >= 0 && high <= 1));

/** A result as text: `62.5%`, or a plain number where results are no shares. */
export const formatResult = (value: number, share: boolean): string =>
  share ? formatShare(value) : formatNumber(value);

/** An interval as text: `53.0% to 71.2%`. */
export const formatInterval = ({ low, high }: Estimate, share: boolean): string =>
  `${formatResult(low, share)} to ${formatResult(high, share)}`;

type Layout = {
  ordered: SweepPoint[];
  baselines: SweepPoint[];
  xOf: (point: SweepPoint) => number;
  xTicks: Tick[];
  xLabel: string;
  steps: number /** Whether a line between neighbours means anything. */;
  connected: boolean;
};

const weightText = (weight: number): string => String(Number(weight.toFixed(2)));

/** Where each mix stands: by the first objective's weight where there are two, else one column a mix. */
const layout = ({ points }: SweepResults): Layout => {
  const mixes = points.filter(({ mix }) => mix !== undefined);
  const baselines = points.filter(({ mix }) => mix === undefined);
  const names = Object.keys(mixes[0]?.mix ?? {});
  const [first = "", second = ""] = names;
  const weight = ({ mix }: SweepPoint): number => weightIn(mix, first);
  const places = new Set(mixes.map(weight));
  if (names.length === 2 && places.size === mixes.length && mixes.length > 1) {
    const ordered = mixes.toSorted((a, b) => weight(a) - weight(b));
    const [lowest, highest] = [weight(element(ordered, 0)), Math.max(...places)];
    const place = (value: number): number => ((value - lowest) / (highest - lowest)) * (mixes.length - 1);
    const xOf = (point: SweepPoint): number => place(weight(point));
    const weights = ordered.map(weight);
    const crowded = weights.some((value, index) => index > 0 && value - element(weights, index - 1) < 0.1);
    // Labels of mixes that lie close to each other would cover each other.
    const labelled = crowded ? ticks(lowest, highest) : weights;
    const xTicks = labelled.map((value): Tick => {
      const end = value === 1 ? `all ${first}` : value === 0 ? `all ${second}` : "";
      return { at: place(value), label: [weightText(value), end].filter(Boolean) };
    });
    return {
      ordered,
      baselines,
      xOf,
      xTicks,
      xLabel: `weight of ${first} (${second} has the rest)`,
      steps: mixes.length,
      connected: true,
    };
  }
  const xOf = (point: SweepPoint): number => mixes.indexOf(point);
  const xTicks = mixes.map(
    (point, index): Tick => ({
      at: index,
      label: names.map((name) => weightText(weightIn(point.mix, name))),
    }),
  );
  return {
    ordered: mixes,
    baselines,
    xOf,
    xTicks,
    xLabel: `weights of ${names.join(", ")} (from the top down)`,
    steps: mixes.length,
    connected: false,
  };
};

const describe = (sweep: SweepResults): string => {
  const share = areShares(sweep);
  return sweep.points
    .map(({ label, results }) => {
      const texts = Object.entries(results).map(
        ([name, result]) => `${name} ${formatResult(result.mean, share)} (${formatInterval(result, share)})`,
      );
      return `${label}: ${texts.join(", ")}.`;
    })
    .join(" ");
};

const width = 720;

const listed = new Intl.ListFormat("en-GB", { type: "conjunction" });

/** Marks and error bars of one objective at several points; moved aside a little so that objectives do not overlap. */
const drawMarks = (
  series: number,
  objective: string,
  points: readonly SweepPoint[],
  x: (point: SweepPoint) => number,
  y: Scale,
): Insert[] =>
  points.flatMap((point) => {
    const result = point.results[objective];
    return result
      ? [errorBar(series, x(point), y(result.low), y(result.high)), mark(series, [x(point), y(result.mean)])]
      : [];
  });

const drawLine = (
  series: number,
  objective: string,
  points: readonly SweepPoint[],
  x: (point: SweepPoint) => number,
  y: Scale,
): Insert[] => {
  const along = (pick: (result: Estimate) => number): Point[] =>
    points.flatMap((point) => {
      const result = point.results[objective];
      return result ? [[x(point), y(pick(result))] as const] : [];
    });
  return [
    band(
      series,
      along(({ high }) => high),
      along(({ low }) => low),
    ),
    line(
      series,
      along(({ mean }) => mean),
    ),
  ];
};

/**
 * The chart as an SVG element: one line an objective over the mixes, vertical bars for the 95% intervals, baselines
 * in a strip of their own on the right.
 *
 * @param id prefix of the element's ids, unique in the page.
 */
export const sweepChart = (sweep: SweepResults, id: string, background: Insert = false): Markup => {
  const objectives = judgedObjectives(sweep);
  const share = areShares(sweep);
  const { ordered, baselines, xOf, xTicks, xLabel, steps, connected } = layout(sweep);
  const title = `Results of ${listed.format(objectives)} under each mix`;
  const key = legend(objectives, [70, 46], width - 90);
  const top = 46 + key.height + 6;
  const bottom = top + 250;
  const slot = 76;
  const stripLeft = width - 20 - baselines.length * slot;
  const frame: Frame = { left: 70, right: baselines.length > 0 ? stripLeft - 24 : width - 20, top, bottom };
  const values = sweep.points.flatMap(({ results }) =>
    Object.values(results).flatMap(({ low, high }) => [low, high]),
  );
  const [low, high] = share ? ([0, 1] as const) : extent(values);
  const y = linear([low, high], [bottom, top]);
  const across = linear([0, Math.max(1, steps - 1)], [frame.left + 34, frame.right - 34]);
  const dodge = (series: number): number => (series - (objectives.length - 1) / 2) * 7;
  const strip = baselines.map((point, index): Insert => {
    const middle = stripLeft + (index + 0.5) * slot;
    const name = point.label.length > 10 ? `${point.label.slice(0, 9)}…` : point.label;
    const text = markup`<text class="soft" x="${middle}" y="${bottom + 20}" text-anchor="middle">${name}</text>`;
    return [
      text,
      ...objectives.map((objective, series) =>
        drawMarks(series, objective, [point], () => middle + dodge(series), y),
      ),
    ];
  });
  const deepest = Math.max(...xTicks.map(({ label }) => (typeof label === "string" ? 1 : label.length)), 1);
  return svg(
    id,
    { width, height: bottom + 40 + deepest * 16, title, description: describe(sweep) },
    background,
    markup`<text class="title" x="20" y="24">${title}</text>`,
    key.drawn,
    axes({
      frame,
      x: across,
      y,
      xTicks,
      yTicks: ticks(low, high).map((value) => ({
        at: value,
        label: share ? `${Math.round(value * 100)}%` : formatNumber(value),
      })),
      xLabel,
      yLabel: share ? "share of answers" : "mean score",
    }),
    baselines.length > 0 &&
      markup`<g>${ticks(low, high).map((value): Insert => markup`<path class="grid" d="M${stripLeft} ${y(value)}H${width - 20}"/>`)}<path class="axis" d="M${stripLeft} ${bottom}H${width - 20}"/>${strip}<text x="${(stripLeft + width - 20) / 2}" y="${bottom + 26 + deepest * 16}" text-anchor="middle">baselines</text></g>`,
    connected &&
      objectives.map((objective, series) =>
        drawLine(series, objective, ordered, (point) => across(xOf(point)), y),
      ),
    objectives.map((objective, series) =>
      drawMarks(series, objective, ordered, (point) => across(xOf(point)) + dodge(series), y),
    ),
  );
};

/** The chart as a file of its own, for example for a README: light and dark, with a background. */
export const sweepSvg = (sweep: SweepResults): string => {
  const background = markup`<style>${new Markup(svgStyle())}</style><rect width="100%" height="100%" rx="6" style="fill:var(--page)"/>`;
  return `${sweepChart(sweep, "sweep", background)}\n`;
};
