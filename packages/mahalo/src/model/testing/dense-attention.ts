/** Attention the slow way, under one mask of a whole batch: what faster ways are held against. */
import { type Tensor, tensor } from "@mahalo/torch";
import { completionMask, type PackedBatch, type PackedRow, rowLength } from "../../data/tokens/packing.ts";
import { type Attend, attendHeads } from "../transformer/attention.ts";

/** Dense boolean mask of a whole batch, T x T: rows never see each other. */
export function denseMask(batch: PackedBatch): Tensor {
  const tokens = batch.ids.length;
  const mask = new Uint8Array(tokens * tokens);
  for (const row of batch.rows) copyRow(row, tokens, mask);
  return tensor(mask, { shape: [tokens, tokens], dtype: "bool" });
}

function copyRow(row: PackedRow, tokens: number, into: Uint8Array): void {
  const mask = completionMask(row);
  const length = rowLength(row);
  for (let query = 0; query < length; query++) {
    into.set(mask.subarray(query * length, (query + 1) * length), (row.start + query) * tokens + row.start);
  }
}

/** Attention under any boolean mask [T, T] (true where the query may attend the key): the slow, general path. */
export function maskedAttention(mask_TT: Tensor): Attend {
  return (_layer, q_THE, k_TGE, v_TGE) => attendHeads(q_THE, k_TGE, v_TGE, { mask: mask_TT });
}
