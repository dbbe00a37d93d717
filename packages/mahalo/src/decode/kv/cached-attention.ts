/** Attention with a key-value cache: over whole prompts, over their new ends, and over one token of every row. */
import { ops, type Tensor, tensor } from "@mahalo/torch";
import { element, zip } from "../../core/need.ts";
import type { PackedBatch } from "../../data/tokens/packing.ts";
import type { Mix } from "../../model/heads/heads.ts";
import { type Attend, packedAttention } from "../../model/transformer/attention.ts";
import type { Backbone } from "../../model/transformer/backbone.ts";
import type { KvCache, KvRow, KvSpan } from "./kv-cache.ts";
import type { KvShape } from "./kv-pages.ts";

// Shapes: T tokens of a pass, S tokens of a span, L tokens a row holds with them, H query heads, G key-value heads,
// E head width.

/** Rows of prompts alone, back to back, as packed attention knows them. */
export const promptBatch = (prompts: readonly (readonly number[])[]): PackedBatch => {
  const rows: PackedBatch["rows"] = [];
  let start = 0;
  for (const { length } of prompts) {
    rows.push({ start, prompt: length, completions: [] });
    start += length;
  }
  return {
    ids: Int32Array.from(prompts.flat()),
    positions: Int32Array.from(prompts.flatMap((ids) => ids.map((_, position) => position))),
    rows,
  };
};

/** How {@link cachedAttention} computes. */
export type CachedAttentionOptions = {
  /** Native kernels over pages (default on the CPU), or pages gathered for libtorch's attention. */
  fused?: boolean | undefined;
};

/** Additive mask [S, L]: the span's token i, at position L - S + i, sees every position up to its own. */
const continuationMask = (span: number, length: number, { dtype, device }: KvShape): Tensor =>
  ops.triu(ops.full([span, length], Number.NEGATIVE_INFINITY, { dtype, device }), length - span + 1);

/** Rows that go on, one after the other: write, gather the row's pages, attend under a mask. */
const gatheredAttention = (cache: KvCache, spans: readonly KvSpan[]): Attend => {
  // Made once for all layers, outside of any layer's scope; a single token sees all there is.
  const masks = spans.map(({ row, length }) =>
    length === 1 ? null : continuationMask(length, row.length + length, cache.shape),
  );
  return (layer, q_THE, k_TGE, v_TGE) => {
    const outputs = spans.map(({ row, start, length }, index) => {
      cache.write(layer, row, k_TGE.narrow(0, start, length), v_TGE.narrow(0, start, length));
      const { k, v } = cache.read(layer, row, row.length + length);
      const q = q_THE.narrow(0, start, length).transpose(0, 1).unsqueeze(0);
      const grouped = q_THE.size(1) !== k_TGE.size(1);
      const o = ops.scaledDotProductAttention(q, k, v, element(masks, index), 0, false, {
        enableGqa: grouped,
      });
      return o.squeeze(0).transpose(0, 1);
    });
    return ops.cat(outputs, 0);
  };
};

/** All rows in one native call, which reads pages where they are. */
const pagedAttention = (cache: KvCache, spans: readonly KvSpan[]): Attend => {
  const plan = cache.plan(spans);
  const { slabs } = cache.pages;
  return (layer, q_THE, k_TGE, v_TGE) => ops.pagedAttention_(slabs, layer, q_THE, k_TGE, v_TGE, plan);
};

/** Rows that begin here, as packed prompts; their keys and values are stored on the way. */
const freshAttention = (cache: KvCache, spans: readonly KvSpan[]): Attend => {
  const packed = packedAttention({
    ids: new Int32Array(0),
    positions: new Int32Array(0),
    rows: spans.map(({ start, length }) => ({ start, prompt: length, completions: [] })),
  });
  return (layer, q_THE, k_TGE, v_TGE) => {
    for (const { row, start, length } of spans) {
      cache.write(layer, row, k_TGE.narrow(0, start, length), v_TGE.narrow(0, start, length));
    }
    return packed(layer, q_THE, k_TGE, v_TGE);
  };
};

/**
 * Attention of rows' next tokens, stored in the cache on the way.
 *
 * Spans lie end to end and cover the pass, those of empty rows first. The caller prepares the room before, and advances
 * the rows after the pass; {@link cachedPass} does both. Fused, a token's result depends on what its row holds alone, bit
 * for bit: not on the other rows, nor on how many of the row's tokens are read at once.
 */
export const cachedAttention = (
  cache: KvCache,
  spans: readonly KvSpan[],
  { fused = cache.shape.device === "cpu" }: CachedAttentionOptions = {},
): Attend => {
  if (fused) return pagedAttention(cache, spans);
  const fresh = spans.filter(({ row }) => row.length === 0);
  const going = spans.slice(fresh.length);
  if (going.length === 0) return freshAttention(cache, fresh);
  const begin = fresh.reduce((sum, { length }) => sum + length, 0);
  const rest = gatheredAttention(
    cache,
    going.map((span) => ({ ...span, start: span.start - begin })),
  );
  if (fresh.length === 0) return rest;
  const first = freshAttention(cache, fresh);
  return (layer, q_THE, k_TGE, v_TGE) => {
    const all = [q_THE, k_TGE, v_TGE] as const;
    const [q0, k0, v0] = all.map((x) => x.narrow(0, 0, begin)) as [Tensor, Tensor, Tensor];
    const [q1, k1, v1] = all.map((x) => x.narrow(0, begin, x.size(0) - begin)) as [Tensor, Tensor, Tensor];
    return ops.cat([first(layer, q0, k0, v0), rest(layer, q1, k1, v1)], 0);
  };
};

/** Tokens that a row of a cache goes on with, at least one, and the mix of the adapters that reads them. */
export type KvExtension = { row: KvRow; ids: readonly number[]; mix?: Mix | undefined };

/**
 * Reads rows' next tokens in one pass, each row given once; the rows hold them afterwards.
 *
 * @returns hidden states of all tokens, [T, D], and where each extension's tokens begin among them
 * @throws MahaloError E_KV_MEMORY before anything is read where they do not fit
 */
export const cachedPass = (
  backbone: Backbone,
  cache: KvCache,
  extensions: readonly KvExtension[],
  options: CachedAttentionOptions = {},
): { hidden_TD: Tensor; starts: number[] } => {
  cache.prepare(extensions.map(({ row, ids }) => ({ row, length: ids.length })));
  const resumes = ({ row }: KvExtension): number => Number(row.length > 0);
  const order = [...extensions.entries()].sort(
    ([a, left], [b, other]) => resumes(left) - resumes(other) || a - b,
  );
  const starts: number[] = [];
  let total = 0;
  const spans = order.map(([index, { row, ids }]): KvSpan => {
    const start = total;
    starts[index] = start;
    total += ids.length;
    return { row, start, length: ids.length };
  });
  const ids = new Int32Array(total);
  const positions = new Int32Array(total);
  let lastPosition = 0;
  for (const [{ row, ids: tokens }, start] of zip(extensions, starts)) {
    for (const [index, id] of tokens.entries()) {
      ids[start + index] = id;
      positions[start + index] = row.length + index;
    }
    lastPosition = Math.max(lastPosition, row.length + tokens.length - 1);
  }
  const { device } = cache.shape;
  const tokens = {
    ids_T: tensor(ids, { dtype: "int64", device }),
    positions_T: tensor(positions, { dtype: "int64", device }),
    lastPosition,
    gains_TS: backbone.adapters?.gains(
      order.map(([, { ids: tokens, mix }]) => ({ length: tokens.length, mix })),
      device,
    ),
  };
  const hidden_TD = backbone.forward(tokens, cachedAttention(cache, spans, options), { rowwise: true });
  for (const { row, ids: tokens } of extensions) cache.advance(row, tokens.length);
  return { hidden_TD, starts };
};
