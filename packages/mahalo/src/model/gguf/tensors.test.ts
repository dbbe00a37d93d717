/** Facts about GGUF tensors: their names and the order of their rows. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { huggingFaceName, unpermuteRows } from "./tensors.ts";

describe("huggingFaceName", () => {
  test.each([
    ["token_embd.weight", "model.embed_tokens.weight"],
    ["output.weight", "lm_head.weight"],
    ["blk.12.attn_q.bias", "model.layers.12.self_attn.q_proj.bias"],
    ["blk.0.attn_k_norm.weight", "model.layers.0.self_attn.k_norm.weight"],
    ["blk.3.ffn_gate.weight", "model.layers.3.mlp.gate_proj.weight"],
  ])("%s is %s", (stored, name) => {
    expect(huggingFaceName(stored)).toBe(name);
  });

  test.each(["blk.0.ffn_gate_inp.weight", "blk.0.constructor.weight", "toString", "blk.x.attn_q.weight"])(
    "%s has no name",
    (stored) => {
      expect(huggingFaceName(stored)).toBeUndefined();
    },
  );
});

describe("unpermuteRows", () => {
  /** llama.cpp's order, said with indices: row i of half s of a head goes to place 2 i + s. */
  const permute = (rows: number[], headDim: number): number[] => {
    const out = [...rows];
    for (const [row, value] of rows.entries()) {
      const inHead = row % headDim;
      const half = Math.floor(inHead / (headDim / 2));
      out[row - inHead + 2 * (inHead % (headDim / 2)) + half] = value;
    }
    return out;
  };

  test("undoes the converter's permutation for any number and width of heads", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 8 }), (heads, half) => {
        const rows = Array.from({ length: heads * half * 2 }, (_, row) => row);
        const stored = Uint8Array.from(permute(rows, half * 2).flatMap((row) => [row, 100 + row]));
        const expected = Uint8Array.from(rows.flatMap((row) => [row, 100 + row]));
        expect(unpermuteRows(stored, rows.length, half * 2)).toEqual(expected);
      }),
    );
  });

  test("a head of four rows, spelled out", () => {
    expect([...unpermuteRows(Uint8Array.of(0, 2, 1, 3), 4, 4)]).toEqual([0, 1, 2, 3]);
  });
});
