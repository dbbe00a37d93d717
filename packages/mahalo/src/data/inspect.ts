/** Shows encoded rows as a person can check them: tokens, positions, completions, what sees what, what is trained, steps. */
import { formatCount, formatNumberOf } from "../core/format.ts";
import { mean } from "../core/mean.ts";
import { element, lastOf, need, zip } from "../core/need.ts";
import { formatOrigin, formatRows } from "./rows/problems.ts";
import type { EncodedExample, EncodedPair, EncodedSteps } from "./tokens/encode.ts";
import { completionIds, completionMask, type PackedRow, packRows, rowLength } from "./tokens/packing.ts";
import { type StepBoundary, stepEnds } from "./tokens/steps.ts";
import type { Tokenizer } from "./tokens/tokenizer.ts";

/** One token as it lies in a packed row. */
export type InspectedToken = { id: number; text: string; position: number; special: boolean };

/** A step of a response. */
export type InspectedStep = {
  /** Index in the part's tokens behind the step's last one. */
  end: number;
  /** Its label; null for a step that has none. Absent where the row labels no steps. */
  label?: number | null;
};

/** A part of a packed row: its prompt, or one completion. */
export type InspectedPart = {
  name: "prompt" | "chosen" | "rejected" | "response";
  /** Whether the loss looks at these tokens. */
  trained: boolean;
  /** Parts whose tokens this part's tokens may attend; of its own part only earlier ones. */
  sees: string[];
  tokens: InspectedToken[];
  /** Its steps, where they are known or a boundary was named. */
  steps?: InspectedStep[];
};

/** One row, packed as training packs it. */
export type InspectedRow = { objective: string; origin: string; tokens: number; parts: InspectedPart[] };

/** Lengths of an objective's rows in tokens. */
export type ObjectiveSummary = {
  objective: string;
  rows: number;
  /** Tokens with the prompt stored once, as packed. */
  tokens: number;
  parts: Record<string, { median: number; longest: number }>;
  /** Of rows of labelled steps: how many steps there are, how many have a label, and the mean label. */
  steps?: { steps: number; labelled: number; meanLabel: number };
};

type EncodedRow = EncodedPair | EncodedExample | EncodedSteps;

/**
 * Rows as they are packed, with every token's text.
 *
 * @param boundary where given, responses that do not bring their steps are cut into steps by it
 */
export const inspectRows = (
  rows: readonly EncodedRow[],
  tokenizer: Tokenizer,
  boundary?: StepBoundary,
): InspectedRow[] => rows.map((row) => inspectRow(row, tokenizer, boundary));

/** Numbers for each objective, in the order the objectives first appear. */
export const summarizeRows = (rows: readonly EncodedRow[]): ObjectiveSummary[] =>
  [...new Set(rows.map(({ objective }) => objective))].map((objective) => {
    const members = rows.filter((row) => row.objective === objective);
    const mine = members.map(partsOf);
    const labels = members.flatMap((row) => ("labels" in row ? row.labels : []));
    return {
      objective,
      rows: mine.length,
      tokens: mine.flat().reduce((sum, { ids }) => sum + ids.length, 0),
      parts: Object.fromEntries(
        element(mine, 0, "row").map(({ name }, part) => [
          name,
          spread(mine.map((parts) => element(parts, part, "part").ids.length)),
        ]),
      ),
      ...(labels.length === 0 ? {} : { steps: labelled(labels) }),
    };
  });

const labelled = (labels: readonly (number | null)[]): NonNullable<ObjectiveSummary["steps"]> => {
  const given = labels.flatMap((label) => label ?? []);
  return { steps: labels.length, labelled: given.length, meanLabel: mean(given) };
};

/** The first `each` rows of every objective. */
export const firstOfEach = <Row extends { objective: string }>(rows: readonly Row[], each: number): Row[] => {
  const taken = new Map<string, number>();
  return rows.filter(({ objective }) => {
    const before = taken.get(objective) ?? 0;
    taken.set(objective, before + 1);
    return before < each;
  });
};

/** How {@link renderRows} writes. */
export type RenderOptions = {
  /** Terminal colours; without them bars stand between tokens. Default false. */
  colour?: boolean;
};

/**
 * Rows as text for a terminal.
 *
 * Every part is a heading and its tokens. With colours, prompts are dim, chosen ones green, rejected ones red, special
 * tokens inverse, and every second token is underlined; without, a bar stands between tokens. Behind the last token of
 * a step stands its number and, where it has one, its label: ⟦2: 0.7⟧. Line feeds are shown as ⏎ and other control
 * characters by their code, so that no row can steer the terminal.
 */
export const renderRows = (rows: readonly InspectedRow[], { colour = false }: RenderOptions = {}): string => {
  const paint = colour
    ? (text: string, codes: string) => `\x1b[${codes}m${text}\x1b[0m`
    : (text: string) => text;
  const lines = rows.flatMap((row) => [
    `${paint(visible(row.objective), "1")}  ${visible(row.origin)}  ${formatCount(row.tokens)} tokens in one packed row`,
    ...row.parts.flatMap((part) => [
      `  ${paint(part.name, "1")}: ${describePart(part)}`,
      ...renderTokens(part, colour, paint)
        .split("\n")
        .map((line) => `    ${line}`),
    ]),
    "",
  ]);
  return lines.join("\n");
};

/** The summary as a few lines, one for each objective. */
export const renderSummary = (summaries: readonly ObjectiveSummary[]): string =>
  summaries
    .map(({ objective, rows, tokens, parts, steps }) => {
      const lengths = Object.entries(parts).map(
        ([name, { median, longest }]) => `${name} ${formatCount(median)} (at most ${formatCount(longest)})`,
      );
      const labels =
        steps === undefined
          ? ""
          : `; ${formatCount(steps.steps)} steps, ${formatCount(steps.labelled)} with a label, ${steps.meanLabel.toFixed(3)} on average`;
      return `${objective}: ${formatRows(rows)}, ${formatCount(tokens)} tokens; median tokens: ${lengths.join(", ")}${labels}`;
    })
    .join("\n");

type Part = { name: InspectedPart["name"]; ids: readonly number[] };

const partsOf = (row: EncodedRow): Part[] => [
  { name: "prompt", ids: row.prompt },
  ...("response" in row
    ? [{ name: "response" as const, ids: row.response }]
    : [
        { name: "chosen" as const, ids: row.chosen },
        { name: "rejected" as const, ids: row.rejected },
      ]),
];

/** The steps of a row's part: its own, or where a boundary cuts it. */
const stepsOf = (
  row: EncodedRow,
  { name, ids }: Part,
  tokenizer: Tokenizer,
  boundary: StepBoundary | undefined,
): InspectedStep[] | undefined => {
  if (name === "prompt") return undefined;
  if ("labels" in row) return zip(row.ends, row.labels).map(([end, label]) => ({ end, label }));
  return boundary === undefined ? undefined : stepEnds(tokenizer, ids, boundary).map((end) => ({ end }));
};

const inspectRow = (
  row: EncodedRow,
  tokenizer: Tokenizer,
  boundary: StepBoundary | undefined,
): InspectedRow => {
  const parts = partsOf(row);
  const steps = parts.map((part) => stepsOf(row, part, tokenizer, boundary));
  const [prompt, ...completions] = parts;
  const unpacked = { prompt: need(prompt, "the prompt").ids, completions: completions.map(({ ids }) => ids) };
  const length = unpacked.prompt.length + unpacked.completions.reduce((sum, ids) => sum + ids.length, 0);
  // What is shown is read from the batch that training would get, not worked out a second time.
  const [packed] = packRows([unpacked], length);
  const laid = packed?.batch.rows[0];
  if (packed === undefined || laid === undefined) {
    return { objective: row.objective, origin: formatOrigin(row.origin), tokens: 0, parts: [] };
  }
  const { batch } = packed;
  const spans = [
    { name: "prompt" as const, start: laid.start, length: laid.prompt },
    ...zip(completions, laid.completions).map(([{ name }, completion]) => ({ name, ...completion })),
  ];
  const sees = whoSeesWhom(laid, spans);
  return {
    objective: row.objective,
    origin: formatOrigin(row.origin),
    tokens: rowLength(laid),
    parts: spans.map((span, index) => {
      const partSteps = steps[index];
      return {
        name: span.name,
        trained: index > 0,
        sees: element(sees, index),
        tokens: [...completionIds(batch, span)].map((id, index) => ({
          id,
          text: tokenizer.decode([id]),
          position: element(batch.positions, span.start + index),
          special: tokenizer.specialIds.has(id),
        })),
        ...(partSteps === undefined ? {} : { steps: partSteps }),
      };
    }),
  };
};

type Span = { name: InspectedPart["name"]; start: number; length: number };

/** For each part the names of those that its last token may attend, read off the mask. */
const whoSeesWhom = (row: PackedRow, spans: readonly Span[]): string[][] => {
  const length = rowLength(row);
  const mask = completionMask(row);
  return spans.map((from) => {
    const query = from.start - row.start + from.length - 1;
    return spans.filter((to) => mask[query * length + to.start - row.start] === 1).map(({ name }) => name);
  });
};

const describePart = ({ name, tokens, trained, sees, steps }: InspectedPart): string => {
  const first = element(tokens, 0, "token").position;
  const last = lastOf(tokens, "token").position;
  const attended = sees.map((other) => (other === name ? "itself" : other)).join(" and ");
  const count = formatNumberOf(tokens.length, "token");
  const cut = steps === undefined ? "" : `, ${formatNumberOf(steps.length, "step")}`;
  return `${count}, positions ${first} to ${last}, sees ${attended}, ${trained ? "trained" : "not trained"}${cut}`;
};

const colours: Record<InspectedPart["name"], string> = {
  prompt: "2",
  chosen: "32",
  rejected: "31",
  response: "32",
};

/** What stands behind a step's last token: the step's number and its label. */
const stepMark = (number: number, label: number | null | undefined): string => {
  if (label === undefined) return `⟦${number}⟧`;
  return `⟦${number}: ${label === null ? "no label" : Number(label.toFixed(4))}⟧`;
};

const renderTokens = (
  { name, tokens, steps = [] }: InspectedPart,
  colour: boolean,
  paint: (text: string, codes: string) => string,
): string => {
  const marks = new Map(
    steps.map(({ end, label }, step) => [end - 1, paint(stepMark(step + 1, label), "1")] as const),
  );
  const pieces = tokens.map(({ text, special }, index) => {
    const codes = [colours[name], ...(special ? ["7"] : []), ...(index % 2 === 1 ? ["4"] : [])].join(";");
    // A colour that runs over a line's end would paint the margin too.
    const mark = marks.get(index);
    const lines = visible(text)
      .split("\n")
      .map((line) => (line === "" ? "" : paint(line, codes)));
    // Behind the step's last letter, not on the line that its line feeds open.
    return mark === undefined ? lines.join("\n") : markLast(lines, mark).join("\n");
  });
  return pieces.join(colour ? "" : "│");
};

/** Lines with a mark behind the last that is not empty. */
const markLast = (lines: readonly string[], mark: string): string[] => {
  const last = Math.max(
    0,
    lines.findLastIndex((line) => line !== ""),
  );
  return lines.map((line, index) => (index === last ? line + mark : line));
};

/** Text with its control characters made visible; ⏎ stands before each line feed. */
const visible = (text: string): string =>
  text.replace(/\p{Cc}/gu, (control) =>
    control === "\n"
      ? "⏎\n"
      : control === "\t"
        ? "→\t"
        : `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );

const spread = (lengths: readonly number[]): { median: number; longest: number } => {
  const sorted = lengths.toSorted((a, b) => a - b);
  return { median: element(sorted, Math.floor((sorted.length - 1) / 2)), longest: lastOf(sorted) };
};
