/** Where objectives conflict in training: the cosine of each two objectives' gradients over steps, and by layer. */
import { mean } from "../../core/mean.ts";
import type { MetricsRow } from "../../train/metrics.ts";
import { panel, panelLayout, pick } from "./curves.ts";
import { type Insert, type Markup, markup } from "./markup.ts";
import { axes, level, line, mark, type Point, svg } from "./plot.ts";
import { extent, formatNumber, linear, ticks } from "./scale.ts";

/** Cosines of one part of the model: means over all measured steps, and over the first and the second half of them. */
type Part = { all: number; halves: readonly [number, number] | undefined };

/** Two objectives, `<first> and <second>`, their cosine over all shared weights by step, and that of each part. */
type Pair = {
  name: string;
  points: Point[];
  /** By number of the layer. */
  layers: ReadonlyMap<number, Part>;
  /** Of what is in no layer: embedding, last norm, a shared head. */
  rest: Part | undefined;
};

const partOf = (rows: readonly MetricsRow[], metric: string): Part | undefined => {
  const values = pick(rows, metric).map(([, value]) => value);
  if (values.length === 0) return undefined;
  const middle = Math.ceil(values.length / 2);
  const halves = [mean(values.slice(0, middle)), mean(values.slice(middle))] as const;
  return { all: mean(values), halves: values.length < 2 ? undefined : halves };
};

const layerMetric = /^conflict\/[^/]+\/layer_(\d+)$/;

/** All pairs of objectives whose gradients a stage has measured. */
const pairsOf = (rows: readonly MetricsRow[]): Pair[] => {
  const metrics = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const names = metrics.flatMap((metric) => /^conflict\/([^/]+~[^/]+)$/.exec(metric)?.[1] ?? []);
  return names.map((name) => {
    const layers = metrics.flatMap((metric) => {
      const layer = layerMetric.exec(metric)?.[1];
      if (layer === undefined || !metric.startsWith(`conflict/${name}/`)) return [];
      const part = partOf(rows, metric);
      return part === undefined ? [] : [[Number(layer), part] as const];
    });
    return {
      name: name.split("~").join(" and "),
      points: pick(rows, `conflict/${name}`),
      layers: new Map(layers.toSorted(([a], [b]) => a - b)),
      rest: partOf(rows, `conflict/${name}/rest`),
    };
  });
};

/** Layers that any pair has a cosine of, from the first to the last. */
const layersOf = (pairs: readonly Pair[]): number[] =>
  [...new Set(pairs.flatMap(({ layers }) => [...layers.keys()]))].sort((a, b) => a - b);

/** A pair's means in words: at the first layer, at the last, at the lowest, and in the rest. */
const describe = ({ name, layers, rest }: Pair): string => {
  const all = [...layers];
  const lowest = all.reduce<typeof all>(
    ([low], part) => [low === undefined || part[1].all < low[1].all ? part : low],
    [],
  );
  const told = new Map([...all.slice(0, 1), ...all.slice(-1), ...lowest]);
  const said = [...told].map(([layer, { all: cosine }]) => {
    const place = `${formatNumber(cosine)} in layer ${layer}`;
    return layer === lowest[0]?.[0] ? `${place} (the lowest)` : place;
  });
  return `${name}: ${[...said, ...(rest ? [`${formatNumber(rest.all)} in the rest`] : [])].join(", ")}`;
};

/** More layers than these stand too close for a mark each. */
const mostMarks = 12;

/** The mean cosine of every layer, a line a pair; a mark on the right for what is in no layer. */
const layersPanel = (id: string, pairs: readonly Pair[], lookOf: (name: string) => number): Markup => {
  const title = "Cosine of gradients by layer";
  const { size, key, frame } = panelLayout(
    pairs.map(({ name }) => name),
    lookOf,
  );
  const layers = layersOf(pairs);
  const [first, last] = extent(layers, 0);
  const hasRest = pairs.some(({ rest }) => rest !== undefined);
  const restAt = last + Math.max(1, 0.12 * (last - first));
  const x = linear([first, hasRest ? restAt : last], [frame.left + 6, frame.right - 14]);
  const drawn = pairs.flatMap(({ layers, rest }) => [...layers.values(), ...(rest ? [rest] : [])]);
  const [low, high] = extent([0, ...drawn.map(({ all }) => all)]);
  const y = linear([low, high], [frame.bottom, frame.top]);
  // Marks of several pairs stand beside each other.
  const aside = (index: number): number => x(restAt) + (index - (pairs.length - 1) / 2) * 7;
  const lines = pairs.map(({ name, layers, rest }, index): Insert => {
    const points = [...layers].map(([layer, { all }]): Point => [x(layer), y(all)]);
    const marked = [
      ...(points.length > mostMarks ? [] : points),
      ...(rest ? [[aside(index), y(rest.all)] as const] : []),
    ];
    return [line(lookOf(name), points), marked.map((point): Insert => mark(lookOf(name), point))];
  });
  const layerTicks = layers.length === 0 ? [] : ticks(first, last, 5).filter(Number.isInteger);
  return markup`<figure>${svg(
    id,
    { ...size, title, description: `Means over training. ${pairs.map(describe).join("; ")}.` },
    markup`<text class="title" x="12" y="20">${title}</text>`,
    key,
    axes({
      frame,
      x,
      y,
      xTicks: [
        ...layerTicks.map((layer) => ({ at: layer, label: String(layer) })),
        ...(hasRest ? [{ at: restAt, label: "rest" }] : []),
      ],
      yTicks: ticks(low, high, 5).map((value) => ({ at: value, label: formatNumber(value) })),
      xLabel: "layer",
      yLabel: "",
    }),
    level(frame, y(0)),
    lines,
  )}</figure>`;
};

/** Three decimals are more than a mean of a few noisy cosines bears. Adding 0 turns a negative zero into zero. */
const decimals = (cosine: number): string => (Number(cosine.toFixed(3)) + 0).toFixed(3);

const cell = (part: Part | undefined): Markup => {
  if (part === undefined) return markup`<td>–</td>`;
  const [before, after] = part.halves ?? [];
  const small = before !== undefined && after !== undefined && `${decimals(before)}, then ${decimals(after)}`;
  return markup`<td>${decimals(part.all)}${small !== false && markup`<small>${small}</small>`}</td>`;
};

const layersTable = (pairs: readonly Pair[]): Markup => {
  const heads = pairs.map(({ name }): Insert => markup`<th scope="col">${name}</th>`);
  const row = (label: string, parts: readonly (Part | undefined)[]): Markup =>
    markup`<tr><th scope="row">${label}</th>${parts.map(cell)}</tr>`;
  const rows = layersOf(pairs).map((layer): Insert => {
    const parts = pairs.map(({ layers }) => layers.get(layer));
    return row(`layer ${layer}`, parts);
  });
  const rests = pairs.map(({ rest }) => rest);
  return markup`<details><summary>Cosines by layer as a table</summary><p class="soft">Means over the measured steps; small: over the first half of them, then over the second.</p><div class="scroll" tabindex="0" role="region" aria-label="Cosines of gradients by layer"><table><thead><tr><th scope="col">part</th>${heads}</tr></thead><tbody>${rows}${rests.some(Boolean) && row("rest", rests)}</tbody></table></div></details>`;
};

const projectedSentence = (rows: readonly MetricsRow[]): string => {
  const steps = pick(rows, "conflict/projections");
  if (steps.length === 0) return "";
  const some = steps.filter(([, count]) => count > 0).length;
  return `In ${some} of ${steps.length} steps gradients conflicted, and the part that pointed against another was removed.`;
};

/**
 * How the objectives of a stage pulled on the weights they share: the cosine of each two objectives' gradients over
 * steps, its mean by layer as a chart and as a table, and how often gradients were projected.
 *
 * @param objectives of the run; pairs of them get the looks after theirs
 * @returns undefined where the stage logged none of it
 */
export const conflictSection = (
  stage: string,
  rows: readonly MetricsRow[],
  objectives: readonly string[],
): Markup | undefined => {
  const pairs = pairsOf(rows);
  const projected = projectedSentence(rows);
  if (pairs.length === 0) {
    return projected === "" ? undefined : markup`<p>${projected}</p>`;
  }
  const lookOf = (name: string): number => objectives.length + pairs.findIndex((pair) => pair.name === name);
  const layered = pairs.filter(({ layers, rest }) => layers.size > 0 || rest !== undefined);
  const id = `conflict-${stage}`;
  return markup`<h4>Where objectives conflict</h4><p>The cosine of two objectives' gradients over the weights they share: above 0 they help each other, below 0 a step for one undoes a step for the other. ${projected}</p><div class="panels">${panel(
    {
      id: `${id}-steps`,
      title: "Cosine of gradients",
      train: pairs.map(({ name, points }) => ({ name, points })),
      lookOf,
      keyed: true,
      zero: true,
    },
  )}${layered.length > 0 && layersPanel(`${id}-layers`, layered, lookOf)}</div>${layered.length > 0 && layersTable(layered)}`;
};
