/** Rotary position embedding: frequencies by the model's rule, and tables of cosines and sines. */
import { keep, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { element } from "../../core/need.ts";
import type { ModelConfig } from "../folder/model-config.ts";

// Shapes: T tokens, P positions of the table, E head width.

/**
 * Rotation frequencies, one for each pair of a head's dimensions: theta^(-2i/E), then the model's scaling.
 *
 * Source: Su et al. 2021, eq. 15; Llama 3.1's rule keeps wavelengths below originalMaxPositions / highFreqFactor,
 * divides those above originalMaxPositions / lowFreqFactor by `factor`, and goes over smoothly between.
 */
export const ropeFrequencies = (config: ModelConfig): Float64Array => {
  const pairs = config.headDim / 2;
  const frequencies = Float64Array.from(
    { length: pairs },
    (_, i) => config.ropeTheta ** ((-2 * i) / config.headDim),
  );
  const scaling = config.ropeScaling;
  if (scaling === undefined) return frequencies;
  if (scaling.type === "linear") return frequencies.map((frequency) => frequency / scaling.factor);
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling;
  return frequencies.map((frequency) => {
    const turns = (originalMaxPositions * frequency) / (2 * Math.PI);
    if (turns < lowFreqFactor) return frequency / factor;
    if (turns > highFreqFactor) return frequency;
    const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return (1 - smooth) * (frequency / factor) + smooth * frequency;
  });
};

/** Cosines and sines of the rotation at each token's position, each half a head wide and repeated once: [T, E]. */
export type Rotation = { cos_TE: Tensor; sin_TE: Tensor };

/** A table of rotations that grows with the longest position asked for. */
export class RopeTable {
  readonly #frequencies: Float64Array;
  readonly #width: number;
  readonly #dtype: "float32" | "bfloat16";
  #positions = 0;
  #cos_PE: Tensor | undefined;
  #sin_PE: Tensor | undefined;

  constructor(config: ModelConfig, dtype: "float32" | "bfloat16") {
    this.#frequencies = ropeFrequencies(config);
    this.#width = config.headDim;
    this.#dtype = dtype;
  }

  /** Rotations at the given positions (int64, one a token); `last` is the largest of them. */
  at(positions_T: Tensor, last: number): Rotation {
    const { cos, sin } = this.#table(last + 1);
    return { cos_TE: cos.indexSelect(0, positions_T), sin_TE: sin.indexSelect(0, positions_T) };
  }

  #table(needed: number): { cos: Tensor; sin: Tensor } {
    if (this.#cos_PE === undefined || this.#sin_PE === undefined || needed > this.#positions) {
      this.#cos_PE?.dispose();
      this.#sin_PE?.dispose();
      this.#positions = Math.max(512, 2 ** Math.ceil(Math.log2(needed)));
      this.#cos_PE = this.#fill(Math.cos);
      this.#sin_PE = this.#fill(Math.sin);
    }
    return { cos: this.#cos_PE, sin: this.#sin_PE };
  }

  #fill(wave: (angle: number) => number): Tensor {
    const half = this.#width / 2;
    const table = new Float32Array(this.#positions * this.#width);
    for (let position = 0; position < this.#positions; position++) {
      for (let i = 0; i < half; i++) {
        // The customary implementations take angles in float32; so do we, to rotate by the very same ones.
        const value = wave(Math.fround(position * Math.fround(element(this.#frequencies, i))));
        table[position * this.#width + i] = value;
        table[position * this.#width + half + i] = value;
      }
    }
    return keepTable(table, [this.#positions, this.#width], this.#dtype);
  }

  dispose(): void {
    this.#cos_PE?.dispose();
    this.#sin_PE?.dispose();
    this.#positions = 0;
  }
}

const keepTable = (data: Float32Array, shape: number[], dtype: "float32" | "bfloat16"): Tensor =>
  noGrad(() => keep(scope(() => tensor(data, { shape, dtype }))));

/** Rotates each head: x cos + rotate_half(x) sin, where rotate_half([a, b]) = [-b, a]. x is [T, heads, E]. */
export const rotate = (x_THE: Tensor, { cos_TE, sin_TE }: Rotation): Tensor => {
  const half = x_THE.size(-1) / 2;
  const [a, b] = ops.splitWithSizes(x_THE, [half, half], -1);
  if (a === undefined || b === undefined) return x_THE;
  const turned = ops.cat([ops.neg(b), a], -1);
  return x_THE.mul(cos_TE.unsqueeze(1)).add(turned.mul(sin_TE.unsqueeze(1)));
};
