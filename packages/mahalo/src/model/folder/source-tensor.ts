/** One tensor of a model source, read from its file only when asked for. */
import type { DType } from "@mahalo/torch";

/** A tensor that can be loaded. */
export type SourceTensor = {
  /** Hugging Face name, for example `model.layers.0.self_attn.q_proj.weight`. */
  name: string;
  shape: readonly number[];
  /** Type of what `load` returns. */
  dtype: DType;
  /** What the file holds, for messages: `Q4_1`, `BF16`. */
  stored: string;
  /** The values, row-major, little-endian, in memory of their own (aligned for any typed array). */
  load(): Uint8Array;
};
