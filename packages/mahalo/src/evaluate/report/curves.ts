/** Training curves: one small chart a metric, one line an objective, raw and smoothed. */
import type { MetricsRow } from "../../train/metrics.ts";
import { type Insert, type Markup, markup } from "./markup.ts";
import { axes, legend, line, mark, type Point, svg } from "./plot.ts";
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

const pick = (rows: readonly MetricsRow[], name: string): Point[] =>
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
  const own = objectives
    .map((name) => ({ name, points: pick(rows, `${prefix}${name}/${metric}`) }))
    .filter(({ points }) => points.length > 0);
  const plain = pick(rows, `${prefix}${metric}`);
  return own.length > 0 ? own : plain.length > 0 ? [{ name: "all", points: plain }] : [];
};

const [width, height, mostPoints] = [380, 270, 300];

const panel = (
  id: string,
  title: string,
  train: readonly Series[],
  held: readonly Series[],
  objectives: readonly string[],
): Markup => {
  const indexOf = (name: string): number => Math.max(0, objectives.indexOf(name));
  const all = [...train, ...held];
  const key = legend(
    train.map(({ name }) => name),
    [58, 40],
    width - 70,
    (index) => indexOf(train[index]?.name ?? ""),
  );
  const frame = {
    left: 66,
    right: width - 14,
    top: train.length > 1 ? 40 + key.height : 36,
    bottom: height - 48,
  };
  const steps = all.flatMap(({ points }) => points.map(([step]) => step));
  const [first, last] = extent(steps, 0);
  const smoothed = train.map(({ name, points }) => {
    const thinned = thin(points, mostPoints);
    const values = smooth(
      thinned.map(([, value]) => value),
      Math.max(3, thinned.length / 12),
    );
    return { name, raw: thinned, line: thinned.map(([step], index): Point => [step, values[index] ?? 0]) };
  });
  const drawn = [...smoothed.flatMap(({ raw }) => raw), ...held.flatMap(({ points }) => points)];
  const [low, high] = extent(drawn.map(([, value]) => value));
  const x = linear([first, last], [frame.left, frame.right]);
  const y = linear([low, high], [frame.bottom, frame.top]);
  const onPage = (points: readonly Point[]): Point[] => points.map(([step, value]) => [x(step), y(value)]);
  const ends = smoothed.map(
    ({ name, line: points }) =>
      `${name}: ${formatNumber(points[0]?.[1] ?? 0)} to ${formatNumber(points.at(-1)?.[1] ?? 0)}`,
  );
  const evaluated = held.length > 0 ? " Marks: held-out rows." : "";
  return markup`<figure>${svg(
    id,
    { width, height, title, description: `Smoothed, first to last step. ${ends.join("; ")}.${evaluated}` },
    markup`<text class="title" x="12" y="20">${title}</text>`,
    train.length > 1 && key.drawn,
    axes({
      frame,
      x,
      y,
      xTicks: ticks(first, last, 5)
        .filter(Number.isInteger)
        .map((at) => ({ at, label: String(at) })),
      yTicks: ticks(low, high, 5).map((at) => ({ at, label: formatNumber(at) })),
      xLabel: "step",
      yLabel: "",
    }),
    smoothed.map(({ name, raw }): Insert => line(indexOf(name), onPage(raw), "raw")),
    smoothed.map(({ name, line: points }): Insert => line(indexOf(name), onPage(points))),
    held.map(({ name, points }): Insert => onPage(points).map((point) => mark(indexOf(name), point))),
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
  const panels = shown.flatMap(([metric, title], index): Insert[] => {
    const train = seriesOf(rows, metric, objectives);
    const held = seriesOf(rows, metric, objectives, "eval_");
    return train.length > 0 ? [panel(`curve-${stage}-${index}`, title, train, held, objectives)] : [];
  });
  return panels.length > 0 ? markup`<div class="panels">${panels}</div>` : undefined;
};
