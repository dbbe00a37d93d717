/** Parts of charts: frame with axes and grid, lines, bands, error bars, marks and legends, as SVG. */
import { element } from "../../core/need.ts";
import { type Insert, type Markup, markup } from "./markup.ts";
import type { Scale } from "./scale.ts";
import { colourCount, seriesCount } from "./style.ts";

/** A place on the page, in user units of the SVG. */
export type Point = readonly [x: number, y: number];

/** The rectangle inside the axes. */
export type Frame = { left: number; right: number; top: number; bottom: number };

const place = (value: number): string => String(Math.round(value * 10) / 10);

const path = (points: readonly Point[]): string =>
  points.map(([x, y], index) => `${index === 0 ? "M" : "L"}${place(x)} ${place(y)}`).join("");

/** CSS classes of the nth series: its colour, and whether its marks are hollow and its lines dashed. */
export const seriesClass = (index: number): string =>
  `s${index % colourCount}${index % seriesCount < colourCount ? "" : " hollow"}`;

/** A line through points. `kind` is "line" (bold) or "raw" (thin and pale). */
export const line = (series: number, points: readonly Point[], kind: "line" | "raw" = "line"): Markup =>
  markup`<path class="${kind} ${seriesClass(series)}" d="${path(points)}"/>`;

/** The area between an upper and a lower line. */
export const band = (series: number, upper: readonly Point[], lower: readonly Point[]): Markup =>
  markup`<path class="band ${seriesClass(series)}" d="${path([...upper, ...lower.toReversed()])}Z"/>`;

/** A vertical error bar with caps. */
export const errorBar = (series: number, x: number, low: number, high: number): Markup => {
  const [left, right] = [place(x - 4), place(x + 4)];
  const d = `M${left} ${place(low)}H${right}M${place(x)} ${place(low)}V${place(high)}M${left} ${place(high)}H${right}`;
  return markup`<path class="bar ${seriesClass(series)}" d="${d}"/>`;
};

/** Outlines of marks around (0, 0): circle, square, triangle, diamond, plus, cross. */
const shapes = [
  "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
  "M-4.5 -4.5H4.5V4.5H-4.5Z",
  "M0 -5.5L5.5 4.5H-5.5Z",
  "M0 -6L6 0L0 6L-6 0Z",
  "M-2 -6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
  "M-6 -3L-3 -6L0 -3L3 -6L6 -3L3 0L6 3L3 6L0 3L-3 6L-6 3L-3 0Z",
];

/** The mark of a series; its shape tells series apart without colour. */
export const mark = (series: number, [x, y]: Point): Markup =>
  markup`<path class="mark ${seriesClass(series)}" d="${element(shapes, series % shapes.length)}" transform="translate(${place(x)} ${place(y)})"/>`;

/** A tick: where it is in the data, and what is written there (lines one below the other). */
export type Tick = { at: number; label: string | readonly string[] };

/** What {@link axes} draws. */
export type Axes = {
  frame: Frame;
  x: Scale;
  y: Scale;
  xTicks: readonly Tick[];
  yTicks: readonly Tick[];
  xLabel: string;
  yLabel: string;
};

/** Grid, axis lines, ticks and axis titles. */
export const axes = ({ frame, x, y, xTicks, yTicks, xLabel, yLabel }: Axes): Markup => {
  const { left, right, top, bottom } = frame;
  const middle = place((top + bottom) / 2);
  // The title of the y axis stands clear of the widest tick.
  const widest = Math.max(0, ...yTicks.map(({ label }) => Math.max(...[label].flat().map(textWidth))));
  const beside = place(Math.max(10, left - Math.max(50, 8 + widest + 12)));
  const rows = yTicks.map(({ at, label }): Insert => {
    const height = place(y(at));
    return markup`<path class="grid" d="M${left} ${height}H${right}"/><text class="soft" x="${left - 8}" y="${height}" dy=".35em" text-anchor="end">${label}</text>`;
  });
  const columns = xTicks.map(({ at, label }): Insert => {
    const lines = typeof label === "string" ? [label] : label;
    const texts = lines.map(
      (text, index): Insert =>
        markup`<text class="soft" x="${place(x(at))}" y="${bottom + 20 + index * 16}" text-anchor="middle">${text}</text>`,
    );
    return markup`<path class="axis" d="M${place(x(at))} ${bottom}v5"/>${texts}`;
  });
  const deepest = xTicks.reduce(
    (most, { label }) => Math.max(most, typeof label === "string" ? 1 : label.length),
    1,
  );
  return markup`<g>${rows}<path class="axis" d="M${left} ${bottom}H${right}"/>${columns}<text x="${place((left + right) / 2)}" y="${bottom + 26 + deepest * 16}" text-anchor="middle">${xLabel}</text>${yLabel !== "" && markup`<text x="${beside}" y="${middle}" text-anchor="middle" transform="rotate(-90 ${beside} ${middle})">${yLabel}</text>`}</g>`;
};

/** A line across the frame at a height, for example at zero. */
export const level = ({ left, right }: Frame, height: number): Markup =>
  markup`<path class="axis" d="M${left} ${place(height)}H${right}"/>`;

/** Roughly how wide a text of 13 px is. */
export const textWidth = (text: string): number => text.length * 7.2;

/** A legend in one or more lines from (x, y) on, none wider than `width`. Gives its markup and its height. */
export const legend = (
  names: readonly string[],
  [x, y]: Point,
  width: number,
  seriesOf: (index: number) => number = (index) => index,
): { drawn: Markup; height: number } => {
  let [across, down] = [0, 0];
  const items = names.map((name, index): Insert => {
    const wide = 34 + textWidth(name) + 14;
    if (across > 0 && across + wide > width) {
      across = 0;
      down += 20;
    }
    const [left, middle] = [x + across, y + down];
    across += wide;
    const sample: Point[] = [
      [left, middle],
      [left + 26, middle],
    ];
    return markup`${line(seriesOf(index), sample)}${mark(seriesOf(index), [left + 13, middle])}<text x="${place(left + 33)}" y="${place(middle)}" dy=".35em">${name}</text>`;
  });
  return { drawn: markup`<g>${items}</g>`, height: down + 20 };
};

/** An SVG element with a title and a description for screen readers. */
export const svg = (
  id: string,
  {
    width,
    height,
    title,
    description,
  }: { width: number; height: number; title: string; description: string },
  ...content: readonly Insert[]
): Markup =>
  markup`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${id}-title ${id}-desc"><title id="${id}-title">${title}</title><desc id="${id}-desc">${description}</desc>${content}</svg>`;
