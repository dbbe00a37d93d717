/** Shows encoded rows as a person can check them: tokens, positions, branches, what sees what, and what is trained. */
import { formatCount } from "../core/format.ts";
import type { TextCodec } from "./codec.ts";
import type { EncodedExample, EncodedPair } from "./encode.ts";
import { branchIds, branchMask, type PackedRow, packRows, rowLength } from "./packing.ts";
import { formatOrigin, formatRows } from "./problems.ts";

/** One token as it lies in a packed row. */
export type InspectedToken = { id: number; text: string; position: number; special: boolean };

/** A part of a packed row: its prompt, or one branch. */
export type InspectedPart = {
  name: "prompt" | "chosen" | "rejected" | "response";
  /** Whether the loss looks at these tokens. */
  trained: boolean;
  /** Parts whose tokens this part's tokens may attend; of its own part only earlier ones. */
  sees: string[];
  tokens: InspectedToken[];
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
};

type EncodedRow = EncodedPair | EncodedExample;

/** Rows as they are packed, with every token's text. */
export const inspectRows = (rows: readonly EncodedRow[], codec: TextCodec): InspectedRow[] =>
  rows.map((row) => inspectRow(row, codec));

/** Numbers for each objective, in the order the objectives first appear. */
export const summarizeRows = (rows: readonly EncodedRow[]): ObjectiveSummary[] =>
  [...new Set(rows.map(({ objective }) => objective))].map((objective) => {
    const mine = rows.filter((row) => row.objective === objective).map(partsOf);
    const names = mine[0]?.map(({ name }) => name) ?? [];
    const lengths = names.map((_, part) => mine.map((parts) => parts[part]?.ids.length ?? 0));
    return {
      objective,
      rows: mine.length,
      tokens: lengths.flat().reduce((sum, length) => sum + length, 0),
      parts: Object.fromEntries(names.map((name, part) => [name, spread(lengths[part] ?? [])])),
    };
  });

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
 * tokens inverse, and every second token is underlined; without, a bar stands between tokens. Line feeds are shown as ⏎
 * and other control characters by their code, so that no row can steer the terminal.
 */
export const renderRows = (rows: readonly InspectedRow[], { colour = false }: RenderOptions = {}): string => {
  const paint = colour
    ? (text: string, codes: string) => `\x1b[${codes}m${text}\x1b[0m`
    : (text: string) => text;
  const lines = rows.flatMap((row) => [
    `${paint(row.objective, "1")}  ${visible(row.origin)}  ${formatCount(row.tokens)} tokens in one packed row`,
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
    .map(({ objective, rows, tokens, parts }) => {
      const lengths = Object.entries(parts).map(
        ([name, { median, longest }]) => `${name} ${formatCount(median)} (at most ${formatCount(longest)})`,
      );
      return `${objective}: ${formatRows(rows)}, ${formatCount(tokens)} tokens; median tokens: ${lengths.join(", ")}`;
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

const inspectRow = (row: EncodedRow, codec: TextCodec): InspectedRow => {
  const [prompt, ...branches] = partsOf(row);
  const unpacked = { prompt: prompt?.ids ?? [], branches: branches.map(({ ids }) => ids) };
  const length = unpacked.prompt.length + unpacked.branches.reduce((sum, ids) => sum + ids.length, 0);
  // What is shown is read from the batch that training would get, not worked out a second time.
  const [packed] = packRows([unpacked], length);
  const laid = packed?.batch.rows[0];
  if (packed === undefined || laid === undefined) {
    return { objective: row.objective, origin: formatOrigin(row.origin), tokens: 0, parts: [] };
  }
  const { batch } = packed;
  const spans = [
    { name: "prompt" as const, start: laid.start, length: laid.prompt },
    ...laid.branches.map((branch, index) => ({
      name: branches[index]?.name ?? ("response" as const),
      ...branch,
    })),
  ];
  const sees = whoSeesWhom(laid, spans);
  return {
    objective: row.objective,
    origin: formatOrigin(row.origin),
    tokens: rowLength(laid),
    parts: spans.map((span, index) => ({
      name: span.name,
      trained: index > 0,
      sees: sees[index] ?? [],
      tokens: [...branchIds(batch, span)].map((id, at) => ({
        id,
        text: codec.decode([id]),
        position: batch.positions[span.start + at] ?? 0,
        special: codec.specialIds.has(id),
      })),
    })),
  };
};

type Span = { name: InspectedPart["name"]; start: number; length: number };

/** For each part the names of those that its last token may attend, read off the mask. */
const whoSeesWhom = (row: PackedRow, spans: readonly Span[]): string[][] => {
  const length = rowLength(row);
  const mask = branchMask(row);
  return spans.map((from) => {
    const query = from.start - row.start + from.length - 1;
    return spans.filter((to) => mask[query * length + to.start - row.start] === 1).map(({ name }) => name);
  });
};

const describePart = ({ name, tokens, trained, sees }: InspectedPart): string => {
  const first = tokens[0]?.position ?? 0;
  const last = tokens.at(-1)?.position ?? 0;
  const attended = sees.map((other) => (other === name ? "itself" : other)).join(" and ");
  const count = tokens.length === 1 ? "1 token" : `${formatCount(tokens.length)} tokens`;
  return `${count}, positions ${first} to ${last}, sees ${attended}, ${trained ? "trained" : "not trained"}`;
};

const colours: Record<InspectedPart["name"], string> = {
  prompt: "2",
  chosen: "32",
  rejected: "31",
  response: "32",
};

const renderTokens = (
  { name, tokens }: InspectedPart,
  colour: boolean,
  paint: (text: string, codes: string) => string,
): string => {
  const pieces = tokens.map(({ text, special }, index) => {
    const codes = [colours[name], ...(special ? ["7"] : []), ...(index % 2 === 1 ? ["4"] : [])].join(";");
    // A colour that runs over a line's end would paint the margin too.
    return visible(text)
      .split("\n")
      .map((line) => (line === "" ? "" : paint(line, codes)))
      .join("\n");
  });
  return pieces.join(colour ? "" : "│");
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
  return { median: sorted[Math.floor((sorted.length - 1) / 2)] ?? 0, longest: sorted.at(-1) ?? 0 };
};
