/** Units of work: what is measured of a machine, and what rows and decoding steps of a model take of it. */
import { z } from "zod";
import { element } from "../core/need.ts";
import type { ComputeDType } from "../model/transformer/parameters.ts";
import type { ModelShape } from "./shapes.ts";

const seconds = z.number().nonnegative();

/** Measured seconds of parts of a model; a token of a layer is one token's way through one layer. */
export const speedsSchema = z.strictObject({
  forward: seconds.describe("A token of a layer without gradients, in rows of 128 tokens."),
  train: seconds.describe("A token of a layer, forward and backward, in such rows."),
  lora: seconds.optional().describe("The same, where low-rank updates are trained in place of weights."),
  attention: seconds.describe("What each further token of its row adds to `forward`."),
  attentionTrain: seconds.describe("What each further token of its row adds to `train` and `lora`."),
  head: seconds.describe("Log-probability of a position."),
  headTrain: seconds.describe("The same, with gradients."),
  update: seconds.describe("A weight of an optimiser step."),
  prefill: seconds.describe("A prompt's token of a layer, with its keys and values kept."),
  step: z
    .array(z.strictObject({ rows: z.int().positive(), layer: seconds, head: seconds }))
    .min(1)
    .describe("A decoding step by the rows side by side: a layer, and the head with the choice of tokens."),
});

/** Seconds of parts of a model on this machine. */
export type Speeds = z.infer<typeof speedsSchema>;

/** Length of the rows that layers are measured with. */
export const measuredLength = 128;

/** How much data there is; tokens are means a row. */
export type DataCounts = {
  /** Training pairs of all objectives. */
  pairs: number;
  /** Objectives that have pairs. */
  objectives: number;
  /** Fine-tuning examples. */
  examples: number;
  heldOutExamples: number;
  exampleTokens: { prompt: number; response: number };
  heldOutPairs: number;
  promptTokens: number;
  responseTokens: number;
};

/** Work whose time is known once this machine's speeds are. */
export type Work = { compute: ComputeDType; lora: boolean; seconds(speeds: Speeds): number };

/** Bytes held at the peak, and the work; none where a stage takes seconds whatever the machine. */
export type Cost = { bytes: number; work?: Work };

/** Tokens of a row, those that a head reads, and how far a token sees. */
export type Row = { tokens: number; headTokens: number; length: number };

/** A prompt with one response, of which a head reads the response. */
export const exampleRow = ({ prompt, response }: { prompt: number; response: number }): Row => ({
  tokens: prompt + response,
  headTokens: response,
  length: prompt + response,
});

/** One prompt with a pair's two responses. */
export const pairRow = (data: DataCounts): Row => ({
  tokens: data.promptTokens + 2 * data.responseTokens,
  headTokens: 2 * data.responseTokens,
  length: data.promptTokens + data.responseTokens,
});

/** Seconds of a layer for a token that sees so many, out of what it took in rows of the measured length. */
export const layerSeconds = (token: number, attention: number, length: number): number =>
  token + attention * Math.max(0, length - measuredLength);

/** Seconds of a decoding step for so many rows: on straight lines between the numbers of rows that were measured. */
export const stepSeconds = (model: ModelShape, { step }: Speeds, rows: number): number => {
  const points = step.map(({ rows: x, layer, head }) => ({ x, y: model.layers * layer + head }));
  const behind = points.findIndex(({ x }) => x >= rows);
  const right = element(points, behind === -1 ? points.length - 1 : behind);
  const left = element(points, Math.max(0, points.indexOf(right) - 1));
  if (left === right) return right.y;
  return left.y + ((right.y - left.y) * (rows - left.x)) / (right.x - left.x);
};

/** Seconds of the layers' forward for a row, without gradients. */
export const bodySeconds = (model: ModelShape, { tokens, length }: Row, speeds: Speeds): number =>
  tokens * model.layers * layerSeconds(speeds.forward, speeds.attention, length);

/** Seconds of a row's forward and of a head at what it reads, without gradients. */
export const readSeconds = (model: ModelShape, row: Row, speeds: Speeds): number =>
  bodySeconds(model, row, speeds) + row.headTokens * speeds.head;
