/** Weights as training needs them: an f32 master copy, and the copy in the compute dtype that the model multiplies with. */
import { keep, MahaloError, noGrad, ops, scope, type Tensor } from "@mahalo/torch";

/** Dtype that the model computes in; master weights and gradients are float32 whatever it is. */
export type ComputeDType = "float32" | "bfloat16";

/**
 * One named weight.
 *
 * In float32 `value` is the master itself. In bfloat16 it is a rounded copy: updates smaller than its resolution
 * (the method's learning rates are 1e-6) would vanish there, so they go to the master.
 */
export class Parameter {
  readonly name: string;
  /** What the model computes with. */
  readonly value: Tensor;
  /** float32 weights that the optimiser updates; absent in a model loaded for inference. */
  readonly master: Tensor | undefined;
  #trainable = false;

  constructor(name: string, value: Tensor, master: Tensor | undefined) {
    this.name = name;
    this.value = value;
    this.master = master;
  }

  get trainable(): boolean {
    return this.#trainable;
  }
  set trainable(on: boolean) {
    if (on && this.master === undefined) {
      throw new MahaloError("E_MODEL_NOT_TRAINABLE", `${this.name}: the model was loaded for inference`, {
        hint: "load it with { training: true }",
        exitStatus: 1,
      });
    }
    this.#trainable = on;
    this.value.requiresGrad = on;
  }

  /** float32 weights, exact where a master copy is held. */
  float(): Tensor {
    return this.master ?? this.value.to("float32");
  }

  /** The float32 gradient, accumulated over passes in the master's `grad`; null until the first. */
  get gradient(): Tensor | null {
    return (this.master ?? this.value).grad;
  }

  /** Moves what autograd left in the compute copy over to the float32 gradient. */
  syncGradient(): void {
    if (this.master === this.value) return;
    scope(() => {
      const fresh = this.value.grad;
      if (fresh === null) return;
      this.accumulate(fresh);
      this.value.grad = null;
    });
  }

  /** Adds a gradient of any float dtype. */
  accumulate(fresh: Tensor): void {
    const target = this.master ?? this.value;
    noGrad(() =>
      scope(() => {
        const { grad } = target;
        if (grad !== null) ops.add_(grad, fresh);
        else target.grad = fresh.dtype === target.dtype ? fresh.clone() : fresh.to(target.dtype);
      }),
    );
  }

  /** After an update of the master: rounds it into the compute copy. */
  syncFromMaster(): void {
    const { master } = this;
    if (master !== undefined && master !== this.value) noGrad(() => ops.copy_(this.value, master));
  }

  clearGradient(): void {
    (this.master ?? this.value).grad = null;
  }

  dispose(): void {
    this.clearGradient();
    this.value.dispose();
    this.master?.dispose();
  }
}

/** Makes a parameter from float32 weights; takes them over. */
export const parameter = (
  name: string,
  weights: Tensor,
  { compute, training }: { compute: ComputeDType; training: boolean },
): Parameter => {
  const value = weights.dtype === compute ? weights : keep(weights.to(compute));
  if (training) return new Parameter(name, value, weights);
  if (value !== weights) weights.dispose();
  return new Parameter(name, value, undefined);
};
