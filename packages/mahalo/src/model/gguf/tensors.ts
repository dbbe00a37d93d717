/** Tensors of a GGUF file under their Hugging Face names, in Hugging Face's order of rows. */
import { MahaloError } from "@mahalo/torch";
import { element } from "../../core/need.ts";
import { families } from "../families/registry.ts";
import type { ModelConfig } from "../folder/model-config.ts";
import type { SourceTensor } from "../folder/source-tensor.ts";
import type { ByteSource } from "./cursor.ts";
import { dequantize } from "./dequantize.ts";
import type { GgufHeader, GgufTensor } from "./header.ts";

const outerNames: Record<string, string> = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  "output.weight": "lm_head.weight",
};

const layerNames: Record<string, string> = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

/** The Hugging Face name of a tensor, or undefined for one that no model built here has. */
export const huggingFaceName = (name: string): string | undefined => {
  const outer = Object.hasOwn(outerNames, name) ? outerNames[name] : undefined;
  if (outer !== undefined) return outer;
  const match = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name);
  if (match === null) return undefined;
  const part = element(match, 2);
  if (!Object.hasOwn(layerNames, part)) return undefined;
  return `model.layers.${match[1]}.${layerNames[part]}.${match[3]}`;
};

/**
 * Puts the rows of a llama model's q or k projection back into Hugging Face's order.
 *
 * llama.cpp rotates neighbouring elements of a head, Hugging Face element i with element i + E/2, so its converter
 * stores row i + s E/2 of a head as row 2 i + s (s = 0, 1; E = head width). Works on stored rows of any type, since a
 * block never crosses a row's end.
 *
 * @param rows number of rows in `bytes`; a bias is rows of one value.
 */
export const unpermuteRows = (bytes: Uint8Array, rows: number, headDim: number): Uint8Array => {
  const rowBytes = bytes.length / rows;
  const out = new Uint8Array(bytes.length);
  for (let row = 0; row < rows; row += 1) {
    const inHead = row % headDim;
    const from = row - inHead + 2 * (inHead % (headDim / 2)) + Math.floor(inHead / (headDim / 2));
    out.set(bytes.subarray(from * rowBytes, (from + 1) * rowBytes), row * rowBytes);
  }
  return out;
};

/** The stored bytes of a tensor as 32-bit floats. */
export const loadGgufTensor = (source: ByteSource, tensor: GgufTensor): Float32Array =>
  dequantize(tensor.type, source.read(tensor.offset, tensor.bytes));

/**
 * The tensors of a file; each is read when its `load` is called, as float32 whatever it was stored as.
 *
 * @throws MahaloError E_GGUF_TENSOR for a tensor that no model built here has: leaving it out would change the answers.
 */
export function* ggufTensors(
  source: ByteSource,
  header: GgufHeader,
  config: ModelConfig,
): Generator<SourceTensor> {
  for (const tensor of header.tensors.values()) {
    // Its content is in the config already.
    if (tensor.name === "rope_freqs.weight") continue;
    const name = huggingFaceName(tensor.name);
    if (name === undefined) {
      throw new MahaloError("E_GGUF_TENSOR", `${header.path}: unknown tensor "${tensor.name}"`, {
        hint: "use a model without extra parts",
      });
    }
    const permuted =
      families.get(config.family).gguf?.permuted === true && /\.attn_[qk]\.(weight|bias)$/.test(tensor.name);
    const rows = element(tensor.shape, 0, "dimension");
    if (permuted && rows % config.headDim !== 0) {
      throw new MahaloError(
        "E_GGUF_TENSOR",
        `${header.path}: tensor "${tensor.name}" has ${rows} rows, not a multiple of the head width ${config.headDim}`,
      );
    }
    yield {
      name,
      shape: tensor.shape,
      dtype: "float32",
      stored: tensor.type,
      load: () => {
        const bytes = source.read(tensor.offset, tensor.bytes);
        const values = dequantize(tensor.type, permuted ? unpermuteRows(bytes, rows, config.headDim) : bytes);
        return new Uint8Array(values.buffer);
      },
    };
  }
}
