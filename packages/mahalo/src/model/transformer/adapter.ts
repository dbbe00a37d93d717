/** The adapter of a linear map: a low-rank update (LoRA) beside a frozen weight. */
import { noGrad, ops, scope, type Tensor } from "@mahalo/torch";
import { linear } from "../../core/products.ts";
import type { Parameter } from "./parameters.ts";

// Shapes: T tokens, N inputs, M outputs, R rank.

/** One original linear map inside a fused one: `outputs` rows of it. */
export type AdapterPart = { outputs: number; down_RN: Parameter; up_MR: Parameter };

/** The adapter of one (possibly fused) linear map: y += (alpha / rank) x A^T B^T, for each original map its own A and B. */
export class Adapter {
  readonly parts: readonly AdapterPart[];
  readonly scale: number;

  constructor(parts: readonly AdapterPart[], scale: number) {
    this.parts = parts;
    this.scale = scale;
  }

  parameters(): Parameter[] {
    return this.parts.flatMap(({ down_RN, up_MR }) => [down_RN, up_MR]);
  }

  /** The update of the output, [T, sum of outputs]. */
  apply(x_TN: Tensor): Tensor {
    const pieces = this.parts.map(({ down_RN, up_MR }) =>
      linear(linear(x_TN, down_RN.value), up_MR.value).mul(this.scale),
    );
    return pieces.length === 1 && pieces[0] ? pieces[0] : ops.cat(pieces, -1);
  }

  /** The update of the weight, float32 [sum of outputs, N]. */
  delta(): Tensor {
    return noGrad(() =>
      scope(() =>
        ops.cat(
          this.parts.map(({ down_RN, up_MR }) => up_MR.float().matmul(down_RN.float()).mul(this.scale)),
          0,
        ),
      ),
    );
  }
}
