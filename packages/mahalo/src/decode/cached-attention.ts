/** Attention with a key-value cache: over whole prompts or their new ends, and over one token of every row. */
import { ops, type Tensor } from "@mahalo/torch";
import type { PackedBatch } from "../data/packing.ts";
import { type Attend, packedAttention } from "../model/attention.ts";
import type { KvCache, KvCacheShape, StepPlan } from "./kv-cache.ts";

// Shapes: T tokens of a pass, S tokens of a span, L tokens a row holds with them, H query heads, G key-value heads,
// J = H / G query heads to a key-value head, E head width, R rows.

/** The next tokens of one row: `length` tokens from offset `start` of the pass. */
export type Span = { row: number; start: number; length: number };

/** Rows of prompts alone, back to back, as packed attention knows them. */
export const promptBatch = (prompts: readonly (readonly number[])[]): PackedBatch => {
  const rows: PackedBatch["rows"] = [];
  let start = 0;
  for (const { length } of prompts) {
    rows.push({ start, prompt: length, branches: [] });
    start += length;
  }
  return {
    ids: Int32Array.from(prompts.flat()),
    positions: Int32Array.from(prompts.flatMap((ids) => ids.map((_, position) => position))),
    rows,
  };
};

/** Additive mask [S, L]: the span's token i, at position L - S + i, sees every position up to its own. */
export const continuationMask = (span: number, length: number, { dtype, device }: KvCacheShape): Tensor =>
  ops.triu(ops.full([span, length], Number.NEGATIVE_INFINITY, { dtype, device }), length - span + 1);

/**
 * Attention of several rows' next tokens, stored in the cache on the way.
 *
 * Rows that begin here attend as packed prompts do; where a row goes on, its tokens attend the cached ones too.
 * The caller reserves the room before, and advances the rows after the pass.
 */
export const prefillAttention = (cache: KvCache, spans: readonly Span[], batch: PackedBatch): Attend => {
  const fresh = spans.every(({ row }) => cache.length(row) === 0) ? packedAttention(batch) : undefined;
  // Made once for all layers, outside of any layer's scope.
  const masks = spans.map(({ row, length }) =>
    fresh === undefined ? continuationMask(length, cache.length(row) + length, cache.shape) : undefined,
  );
  return (layer, q_THE, k_TGE, v_TGE) => {
    const outputs: Tensor[] = [];
    for (const [index, { row, start, length }] of spans.entries()) {
      cache.write(layer, row, k_TGE.narrow(0, start, length), v_TGE.narrow(0, start, length));
      const mask = masks[index];
      if (mask === undefined) continue;
      const { k, v } = cache.read(layer, row, cache.length(row) + length);
      const q = q_THE.narrow(0, start, length).transpose(0, 1).unsqueeze(0);
      const grouped = q_THE.size(1) !== k_TGE.size(1);
      const o = ops.scaledDotProductAttention(q, k, v, mask, 0, false, { enableGqa: grouped });
      outputs.push(o.squeeze(0).transpose(0, 1));
    }
    return fresh === undefined ? ops.cat(outputs, 0) : fresh(layer, q_THE, k_TGE, v_TGE);
  };
};

/**
 * Attention of one new token of every row, token r being row r's.
 *
 * The query heads that share a key-value head become its queries, [R, G, J, E]: all of a step's queries see the same
 * keys, so no key is repeated for its group.
 */
export const stepAttention =
  (cache: KvCache, plan: StepPlan): Attend =>
  (layer, q_RHE, k_RGE, v_RGE) => {
    const { kvHeads, headDim } = cache.shape;
    const { k, v } = cache.step(layer, plan, k_RGE.reshape(-1, headDim), v_RGE.reshape(-1, headDim));
    const q_RGJE = q_RHE.reshape(plan.rows, kvHeads, -1, headDim);
    return ops.scaledDotProductAttention(q_RGJE, k, v, plan.mask);
  };
