/** The global norm of gradients, and clipping by it. */
import { noGrad } from "../autograd.ts";
import { MahaloError } from "../error.ts";
import * as ops from "../ops.generated.ts";
import { scope } from "../scope.ts";
import type { Tensor } from "../tensor.ts";

/** Keeps the quotient finite for gradients of norm 0; PyTorch's value. */
const EPSILON = 1e-6;

/**
 * The 2-norm of all gradients taken as one vector; parameters without a gradient count as 0.
 *
 * @throws MahaloError `E_GRADIENT_NOT_FINITE` saying which parameter's gradient is NaN or infinite: by its name where a
 *   Map is given, else by its place.
 */
export const gradNorm = (parameters: Iterable<Tensor> | ReadonlyMap<string, Tensor>): number =>
  noGrad(() => scope(() => measure(parameters).norm));

/**
 * Scales all gradients in place so that their global norm is at most `maxNorm`.
 *
 *   g ← g · min(1, maxNorm / (norm + 1e-6))
 *
 * @returns the norm before clipping.
 * @throws MahaloError `E_GRADIENT_NOT_FINITE` as {@link gradNorm}; the gradients are then unchanged.
 */
export const clipGradNorm = (
  parameters: Iterable<Tensor> | ReadonlyMap<string, Tensor>,
  maxNorm: number,
): number => {
  if (!(maxNorm > 0)) throw new MahaloError("E_OPTIM_OPTION", `maxNorm must be above 0, not ${maxNorm}`);
  return noGrad(() =>
    scope(() => {
      const { norm, gradients } = measure(parameters);
      const factor = maxNorm / (norm + EPSILON);
      if (factor < 1) ops.foreachMulScalar_(gradients, factor);
      return norm;
    }),
  );
};

const measure = (
  parameters: Iterable<Tensor> | ReadonlyMap<string, Tensor>,
): { norm: number; gradients: Tensor[] } => {
  const named: [string, Tensor][] =
    parameters instanceof Map
      ? [...parameters]
      : [...parameters].map((tensor, i) => [`parameter ${i}`, tensor]);
  const withGradient = named.flatMap(([name, parameter]) => {
    const gradient = parameter.grad;
    return gradient === null ? [] : [{ name, gradient }];
  });
  const gradients = withGradient.map(({ gradient }) => gradient);
  if (gradients.length === 0) return { norm: 0, gradients };
  const norms = ops.foreachNorm(gradients, 2).map((norm) => norm.item());
  const norm = Math.hypot(...norms);
  if (!Number.isFinite(norm)) {
    const name = withGradient[norms.findIndex((norm) => !Number.isFinite(norm))]?.name ?? "all together";
    throw new MahaloError("E_GRADIENT_NOT_FINITE", `the gradient of ${name} is not finite`, {
      hint: "lower the learning rate, or compute in float32",
      exitStatus: 1,
    });
  }
  return { norm, gradients };
};
