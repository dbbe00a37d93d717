/** Update rules: AdamW, RMSprop and SGD on foreach operators, equal to PyTorch's. */
import { MahaloError } from "../error.ts";
import * as ops from "../ops.generated.ts";
import type { Tensor } from "../tensor.ts";

/** Parameters that are updated together, with their gradients and state, in equal order. */
export type Batch = {
  parameters: readonly Tensor[];
  gradients: readonly Tensor[];
  /** One list for each of the rule's buffers; zeros before the first step. */
  buffers: Readonly<Record<string, readonly Tensor[]>>;
  /** Which parameters weight decay applies to. */
  decays: readonly boolean[];
  learningRate: number;
  /** Count of these parameters' updates, this one included. */
  step: number;
};

/** How an optimiser changes its parameters. */
export type UpdateRule = {
  /** For messages, for example "AdamW". */
  name: string;
  /** State of a parameter, each of the parameter's shape and dtype. */
  buffers: readonly string[];
  /** Updates parameters and buffers in place; the caller frees the temporaries and records no gradients. */
  update(batch: Batch): void;
};

/** Checks options: each is a number in its range. */
const check = (
  rule: string,
  options: Readonly<Record<string, number>>,
  below: Readonly<Record<string, number>> = {},
) => {
  for (const [name, value] of Object.entries(options)) {
    const limit = below[name] ?? Number.POSITIVE_INFINITY;
    if (!(value >= 0 && value < limit)) {
      const range = Number.isFinite(limit) ? `from 0 to below ${limit}` : "of at least 0, and finite";
      throw new MahaloError("E_OPTIM_OPTION", `${rule}: ${name} must be a number ${range}, not ${value}`);
    }
  }
};

function buffer({ buffers }: Batch, name: string): readonly Tensor[] {
  const tensors = buffers[name];
  if (tensors === undefined) throw new MahaloError("E_INTERNAL", `no buffer "${name}"`, { exitStatus: 1 });
  return tensors;
}

/** L2 decay: the gradient plus decay times the parameter, in new tensors; where nothing decays, the gradients as they are. */
const withL2 = ({ parameters, gradients, decays }: Batch, weightDecay: number): readonly Tensor[] =>
  weightDecay === 0 || !decays.includes(true)
    ? gradients
    : gradients.map((gradient, i) => {
        const parameter = parameters[i];
        return parameter && decays[i] ? ops.add(gradient, parameter, { alpha: weightDecay }) : gradient;
      });

/** Whether an update can be done in one pass over memory. */
const canFuse = ({ parameters, gradients }: Batch): boolean =>
  [...parameters, ...gradients].every(
    (tensor) => tensor.device === "cpu" && tensor.dtype === "float32" && tensor.isContiguous,
  );

/** Options of {@link adamW}. */
export type AdamWOptions = {
  /** Decay of the gradient's running mean. Default 0.9. */
  beta1?: number;
  /** Decay of its square's running mean. Default 0.999. */
  beta2?: number;
  /** Default 1e-8. */
  epsilon?: number;
  /** Decoupled decay a step, times the learning rate. Default 0.01, as PyTorch's; transformers takes 0. */
  weightDecay?: number;
  /** One pass over memory where parameters allow it (default), or foreach operators. */
  fused?: boolean;
};

/**
 * AdamW (Loshchilov and Hutter 2019), with learning rate η, gradient g and step t:
 *
 *   θ ← (1 - η λ) θ
 *   m ← β1 m + (1 - β1) g
 *   v ← β2 v + (1 - β2) g²
 *   θ ← θ - η / (1 - β1^t) · m / (√v / √(1 - β2^t) + ε)
 */
export const adamW = (options: AdamWOptions = {}): UpdateRule => {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01, fused = true } = options;
  check("AdamW", { beta1, beta2, epsilon, weightDecay }, { beta1: 1, beta2: 1 });
  return {
    name: "AdamW",
    buffers: ["exp_avg", "exp_avg_sq"],
    update(batch) {
      const { parameters, gradients, decays, learningRate, step } = batch;
      if (fused && canFuse(batch)) {
        for (const decaying of [true, false]) {
          const selected = <T>(list: readonly T[]): T[] => list.filter((_, i) => decays[i] === decaying);
          const lists = [
            parameters,
            gradients,
            buffer(batch, "exp_avg"),
            buffer(batch, "exp_avg_sq"),
          ] as const;
          const [p, g, m, v] = [
            selected(lists[0]),
            selected(lists[1]),
            selected(lists[2]),
            selected(lists[3]),
          ];
          const decay = decaying ? weightDecay : 0;
          if (p.length > 0) ops.fusedAdamw_(p, g, m, v, learningRate, decay, beta1, beta2, epsilon, step);
        }
        return;
      }
      const decayed = parameters.filter((_, i) => decays[i]);
      if (weightDecay !== 0 && decayed.length > 0)
        ops.foreachMulScalar_(decayed, 1 - learningRate * weightDecay);
      const mean = buffer(batch, "exp_avg");
      const square = buffer(batch, "exp_avg_sq");
      ops.foreachLerp_(mean, gradients, 1 - beta1);
      ops.foreachMulScalar_(square, beta2);
      ops.foreachAddcmul_(square, gradients, gradients, 1 - beta2);
      const root = ops.foreachSqrt(square);
      ops.foreachDivScalar_(root, Math.sqrt(1 - beta2 ** step));
      ops.foreachAddScalar_(root, epsilon);
      ops.foreachAddcdiv_(parameters, mean, root, -learningRate / (1 - beta1 ** step));
    },
  };
};

/** Options of {@link rmsProp}. */
export type RmsPropOptions = {
  /** Decay of the squared gradient's running mean. Default 0.99. */
  alpha?: number;
  /** Default 1e-8. */
  epsilon?: number;
  /** Default 0: no momentum. */
  momentum?: number;
  /** L2 penalty added to the gradient. Default 0. */
  weightDecay?: number;
  /** One pass over memory where parameters allow it and there is no momentum (default), or foreach operators. */
  fused?: boolean;
};

/**
 * RMSprop (Hinton 2012):
 *
 *   g ← g + λ θ
 *   v ← α v + (1 - α) g²
 *   u = g / (√v + ε)
 *   θ ← θ - η u, or with momentum μ: b ← μ b + u, θ ← θ - η b
 */
export const rmsProp = (options: RmsPropOptions = {}): UpdateRule => {
  const { alpha = 0.99, epsilon = 1e-8, momentum = 0, weightDecay = 0, fused = true } = options;
  check("RMSprop", { alpha, epsilon, momentum, weightDecay }, { alpha: 1 });
  return {
    name: "RMSprop",
    buffers: momentum > 0 ? ["square_avg", "momentum_buffer"] : ["square_avg"],
    update(batch) {
      const { parameters, learningRate } = batch;
      const gradients = withL2(batch, weightDecay);
      const square = buffer(batch, "square_avg");
      if (fused && momentum === 0 && canFuse(batch)) {
        ops.fusedRmsprop_(parameters, gradients, square, learningRate, alpha, epsilon);
        return;
      }
      ops.foreachMulScalar_(square, alpha);
      ops.foreachAddcmul_(square, gradients, gradients, 1 - alpha);
      const root = ops.foreachSqrt(square);
      ops.foreachAddScalar_(root, epsilon);
      if (momentum > 0) {
        const velocity = buffer(batch, "momentum_buffer");
        ops.foreachMulScalar_(velocity, momentum);
        ops.foreachAddcdiv_(velocity, gradients, root, 1);
        ops.foreachAdd_(parameters, velocity, { alpha: -learningRate });
      } else {
        ops.foreachAddcdiv_(parameters, gradients, root, -learningRate);
      }
    },
  };
};

/** Options of {@link sgd}. */
export type SgdOptions = {
  /** Default 0: no momentum. */
  momentum?: number;
  /** What the gradient loses on its way into the momentum, from the second step on. Default 0. */
  dampening?: number;
  /** Nesterov's form; needs momentum, and dampening 0. Default false. */
  nesterov?: boolean;
  /** L2 penalty added to the gradient. Default 0. */
  weightDecay?: number;
};

/**
 * Stochastic gradient descent:
 *
 *   g ← g + λ θ
 *   b ← g at the first step, then μ b + (1 - d) g
 *   θ ← θ - η g without momentum, θ - η b with it, θ - η (g + μ b) in Nesterov's form
 */
export const sgd = (options: SgdOptions = {}): UpdateRule => {
  const { momentum = 0, dampening = 0, nesterov = false, weightDecay = 0 } = options;
  check("SGD", { momentum, dampening, weightDecay });
  if (nesterov && (momentum === 0 || dampening !== 0)) {
    throw new MahaloError("E_OPTIM_OPTION", "SGD: nesterov needs momentum above 0 and dampening 0");
  }
  return {
    name: "SGD",
    buffers: momentum > 0 ? ["momentum_buffer"] : [],
    update(batch) {
      const { parameters, learningRate, step } = batch;
      const gradients = withL2(batch, weightDecay);
      let direction = gradients;
      if (momentum > 0) {
        const velocity = buffer(batch, "momentum_buffer");
        ops.foreachMulScalar_(velocity, momentum);
        ops.foreachAdd_(velocity, gradients, { alpha: step === 1 ? 1 : 1 - dampening });
        direction = nesterov ? ops.foreachAdd(gradients, velocity, { alpha: momentum }) : velocity;
      }
      ops.foreachAdd_(parameters, direction, { alpha: -learningRate });
    },
  };
};
