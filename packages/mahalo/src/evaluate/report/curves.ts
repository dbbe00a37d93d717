/** Training curves: one small chart a metric, one line an objective, raw and smoothed. */
import { element, lastOf, zip } from "../../core/need.ts";
import type { MetricsRow } from "../../train/metrics.ts";
import { type Insert, type Markup, markup } from "./markup.ts";
import { axes, type Frame, legend, level, line, mark, type Point, svg } from "./plot.ts";
import { extent, formatNumber, linear, ticks } from "./scale.ts";

/** A curve's points: step and value. */
export type Series = { name: string; points: Point[] };

/** Metrics shown for each stage, with their titles, in this order; those that a stage did not log are left out. */
const shown: readonly (readonly [metric: string, title: string])[] = [
  ["loss", "Loss"],
  ["rewards/margins", "Reward margin"],
  ["rewards/accuracies", "Reward accuracy"],
];

/**
 * Exponential moving average without start-up bias:
 *
 *   s_t = Σ_i (1-a)^(t-i) x_i / Σ_i (1-a)^(t-i),  a = 2 / (span + 1)
 */
export const smooth = (values: readonly number[], span: number): number[] => {
  const keep = 1 - 2 / (Math.max(1, span) + 1);
  let [sum, weight] = [0, 0];
  return values.map((value) => {
    sum = sum * keep + value;
    weight = weight * keep + 1;
    return sum / weight;
  });
};

/** At most `most` points: neighbours are averaged, so that no spike is picked or lost by chance. */
export const thin = (points: readonly Point[], most: number): Point[] => {
  if (points.length <= most) {
    return [...points];
  }
  return Array.from({ length: most }, (_, bin) => {
    const part = points.slice(
      Math.floor((bin * points.length) / most),
      Math.floor(((bin + 1) * points.length) / most),
    );
    const mean = (axis: 0 | 1): number => part.reduce((sum, point) => sum + point[axis], 0) / part.length;
    return [mean(0), mean(1)] as const;
  });
};

/** The points of one metric: the steps that logged it, and what they logged. */
export const pick = (rows: readonly MetricsRow[], name: string): Point[] =>
  rows.flatMap((row) => {
    const value = row[name];
    return value === undefined ? [] : [[row.step, value] as const];
  });

/** The curves of one metric: the objectives' own where they were logged, else the plain one. */
export const seriesOf = (
  rows: readonly MetricsRow[],
  metric: string,
  objectives: readonly string[],
  prefix = "",
): Series[] => {
  const series = objectives
    .map((name) => ({ name, points: pick(rows, `${prefix}${name}/${metric}`) }))
    .filter(({ points }) => points.length > 0);
  const plain = pick(rows, `${prefix}${metric}`);
  return series.length > 0 ? series : plain.length > 0 ? [{ name: "all", points: plain }] : [];
};

const mostPoints = 300;

const [width, height] = [380, 270];

/** Size, legend and frame of a panel; each further line of its legend makes it higher, so that curves keep their room. */
export const panelLayout = (
  names: readonly string[],
  lookOf: (name: string) => number,
  keyed = true,
): { size: { width: number; height: number }; key: Insert; frame: Frame } => {
  const key = legend(names, [58, 40], width - 70, (index) => lookOf(element(names, index, "name")));
  const further = keyed ? Math.max(0, key.height - 20) : 0;
  return {
    size: { width, height: height + further },
    key: keyed && key.drawn,
    frame: { left: 66, right: width - 14, top: keyed ? 40 + key.height : 36, bottom: height + further - 48 },
  };
};

/** What {@link panel} draws. */
export type Panel = {
  /** Id of the element and prefix of those in it, unique in the page. */
  id: string;
  title: string;
  /** Lines: raw ones, and their moving averages. */
  train: readonly Series[];
  /** Marks of the same series, by name. */
  held?: readonly Series[];
  /** The look of a series. */
  lookOf: (name: string) => number;
  /** Whether a legend names the series; default: where there are several. */
  keyed?: boolean;
  /** Whether the values themselves are drawn, pale, behind their moving averages. Default true. */
  raw?: boolean;
  /** Whether zero belongs in the picture, with a line at it. */
  zero?: boolean;
};

/** A panel of curves over training steps. */
export const panel = ({
  id,
  title,
  train,
  held = [],
  lookOf,
  keyed = train.length > 1,
  raw: pale = true,
  zero = false,
}: Panel): Markup => {
  const all = [...train, ...held];
  const names = train.map(({ name }) => name);
  const { size, key, frame } = panelLayout(names, lookOf, keyed);
  const steps = all.flatMap(({ points }) => points.map(([step]) => step));
  const [first, last] = extent(steps, 0);
  const smoothed = train.map(({ name, points }) => {
    const thinned = thin(points, mostPoints);
    const values = smooth(
      thinned.map(([, value]) => value),
      Math.max(3, thinned.length / 12),
    );
    return { name, raw: thinned, line: zip(thinned, values).map(([[step], value]): Point => [step, value]) };
  });
  const drawn = [
    ...smoothed.flatMap((curve) => (pale ? curve.raw : curve.line)),
    ...held.flatMap(({ points }) => points),
  ];
  const [low, high] = extent([...drawn.map(([, value]) => value), ...(zero ? [0] : [])]);
  const x = linear([first, last], [frame.left, frame.right]);
  const y = linear([low, high], [frame.bottom, frame.top]);
  const onPage = (points: readonly Point[]): Point[] => points.map(([step, value]) => [x(step), y(value)]);
  const ends = smoothed.map(
    ({ name, line: points }) =>
      `${name}: ${formatNumber(element(points, 0)[1])} to ${formatNumber(lastOf(points)[1])}`,
  );
  const evaluated = held.length > 0 ? " Marks: held-out rows." : "";
  return markup`<figure>${svg(
    id,
    { ...size, title, description: `Smoothed, first to last step. ${ends.join("; ")}.${evaluated}` },
    markup`<text class="title" x="12" y="20">${title}</text>`,
    key,
    axes({
      frame,
      x,
      y,
      xTicks: ticks(first, last, 5)
        .filter(Number.isInteger)
        .map((step) => ({ at: step, label: String(step) })),
      yTicks: ticks(low, high, 5).map((value) => ({ at: value, label: formatNumber(value) })),
      xLabel: "step",
      yLabel: "",
    }),
    zero && level(frame, y(0)),
    pale && smoothed.map(({ name, raw }): Insert => line(lookOf(name), onPage(raw), "raw")),
    smoothed.map(({ name, line: points }): Insert => line(lookOf(name), onPage(points))),
    held.map(({ name, points }): Insert => onPage(points).map((point) => mark(lookOf(name), point))),
  )}</figure>`;
};

/**
 * The curves of one training stage: loss, reward margins and reward accuracies, each objective a line. Pale lines are
 * the logged values, bold ones a moving average, marks the values on held-out rows (`eval_...`).
 *
 * @returns undefined where the stage logged none of them
 */
export const trainingCurves = (
  stage: string,
  rows: readonly MetricsRow[],
  objectives: readonly string[],
): Markup | undefined => {
  const lookOf = (name: string): number => Math.max(0, objectives.indexOf(name));
  const panels = shown.flatMap(([metric, title], index): Insert[] => {
    const train = seriesOf(rows, metric, objectives);
    const held = seriesOf(rows, metric, objectives, "eval_");
    return train.length > 0 ? [panel({ id: `curve-${stage}-${index}`, title, train, held, lookOf })] : [];
  });
  return panels.length > 0 ? markup`<div class="panels">${panels}</div>` : undefined;
};
