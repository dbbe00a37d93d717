/** Ways for a layer's tokens to attend each other: packed completions. The decoder brings its own with a cache. */
import { ops, type Tensor } from "@mahalo/torch";
import type { PackedBatch } from "../../data/tokens/packing.ts";

// Shapes: T tokens of a batch, S tokens of a segment, H query heads, G key-value heads, E head width.

/** Attention of one layer over the tokens of a pass: q_THE, k_TGE, v_TGE -> o_THE. */
export type Attend = (layer: number, q_THE: Tensor, k_TGE: Tensor, v_TGE: Tensor) => Tensor;

type Mask = { mask?: Tensor; causal?: boolean };

/** Attention of [S, H, E] queries over [S', G, E] keys and values; each group of H / G query heads shares one pair. */
export const attendHeads = (
  q_SHE: Tensor,
  k_SGE: Tensor,
  v_SGE: Tensor,
  { mask, causal = false }: Mask,
): Tensor => {
  const q = q_SHE.transpose(0, 1).unsqueeze(0);
  const k = k_SGE.transpose(0, 1).unsqueeze(0);
  const v = v_SGE.transpose(0, 1).unsqueeze(0);
  const grouped = q_SHE.size(1) !== k_SGE.size(1);
  const o = ops.scaledDotProductAttention(q, k, v, mask ?? null, 0, causal, { enableGqa: grouped });
  return o.squeeze(0).transpose(0, 1);
};

/** An additive mask (0 or -inf) of `queries` rows that see all of a prefix and then causally themselves. */
const suffixMask = (prefix: number, queries: number, like: Tensor): Tensor => {
  const causal = ops.triu(
    ops.full([queries, queries], -Infinity, { dtype: like.dtype, device: like.device }),
    1,
  );
  return ops.cat([ops.zeros([queries, prefix], { dtype: like.dtype, device: like.device }), causal], 1);
};

/** Queries by keys of a segment above which its weights are not kept but computed again: 2048 x 2048. */
const LARGEST_KEPT = 2 ** 22;

/** Queries that see a prefix of keys and then, causally, their own. */
type Segment = { start: number; count: number; prefixStart: number; prefix: number };

/** A row's prompt and first completion lie side by side and are plainly causal; further completions see the prompt as prefix. */
const segmentsOf = (batch: PackedBatch): Segment[] =>
  batch.rows.flatMap((row) => {
    const [first, ...others] = row.completions;
    return [
      { start: row.start, count: row.prompt + (first?.length ?? 0), prefixStart: row.start, prefix: 0 },
      ...others.map(({ start, length }) => ({
        start,
        count: length,
        prefixStart: row.start,
        prefix: row.prompt,
      })),
    ];
  });

/** How {@link packedAttention} computes. */
export type PackedAttentionOptions = {
  /** Fused kernel with kept weights (default on the CPU, for segments up to 2048 x 2048), or libtorch's attention. */
  fused?: boolean;
};

/** Attention of packed rows, segment by segment, so that no masked block is paid for. */
export const packedAttention = (batch: PackedBatch, options: PackedAttentionOptions = {}): Attend => {
  const segments = segmentsOf(batch);
  const small = segments.every(({ count, prefix }) => count * (count + prefix) <= LARGEST_KEPT);
  const flat = segments.flatMap(({ start, count, prefixStart, prefix }) => [
    start,
    count,
    prefixStart,
    prefix,
  ]);
  const plain = plainSegments(segments);
  return (layer, q_THE, k_TGE, v_TGE) =>
    (options.fused ?? (small && q_THE.device === "cpu"))
      ? ops.branchAttention(q_THE, k_TGE, v_TGE, flat)
      : plain(layer, q_THE, k_TGE, v_TGE);
};

const plainSegments = (segments: readonly Segment[]): Attend => {
  const masks = new Map<string, Tensor>();
  return (_layer, q_THE, k_TGE, v_TGE) => {
    const parts = segments.map(({ start, count, prefixStart, prefix }) => {
      const q_SHE = q_THE.narrow(0, start, count);
      if (prefix === 0) {
        return attendHeads(q_SHE, k_TGE.narrow(0, start, count), v_TGE.narrow(0, start, count), {
          causal: true,
        });
      }
      const seen = (x: Tensor): Tensor =>
        ops.cat([x.narrow(0, prefixStart, prefix), x.narrow(0, start, count)], 0);
      const key = `${prefix}+${count}`;
      const cached = masks.get(key);
      // A layer that is computed in a scope of its own, as with checkpointing, takes its masks along.
      const mask = cached === undefined || cached.freed ? suffixMask(prefix, count, q_THE) : cached;
      masks.set(key, mask);
      return attendHeads(q_SHE, seen(k_TGE), seen(v_TGE), { mask });
    });
    return ops.cat(parts, 0);
  };
};
