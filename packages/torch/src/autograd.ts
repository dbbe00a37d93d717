/** Gradients: backward with given gradients, gradients of chosen inputs, and code that records none. */
import { native } from "./native.ts";
import { refusePromise } from "./scope.ts";
import { Tensor } from "./tensor.ts";

const handles = (tensors: readonly Tensor[]): number[] => tensors.map((tensor) => tensor.handle);
const orNull = (tensors: readonly (Tensor | null)[]): (number | null)[] =>
  tensors.map((tensor) => (tensor === null ? null : tensor.handle));

/**
 * Accumulates d(sum_i outputs_i · gradients_i) into `.grad` of every leaf that requires it.
 *
 * A gradient has its output's shape, and may be left out (null) for a scalar output, where it is 1. Errors (`E_TORCH...`):
 * a gradient that does not fit, an output without history, a graph that is used up, and tensors that were changed in
 * place since the graph saved them.
 */
export const backward = (
  outputs: Tensor | readonly Tensor[],
  gradients: Tensor | readonly (Tensor | null)[] | null = null,
  { retainGraph = false }: { retainGraph?: boolean } = {},
): void => {
  const list = outputs instanceof Tensor ? [outputs] : outputs;
  const given =
    gradients === null ? list.map(() => null) : gradients instanceof Tensor ? [gradients] : gradients;
  native.backward(handles(list), orNull(given), retainGraph);
};

/** Gradients of outputs by chosen inputs; null for an input that did not take part (with `allowUnused`). */
export const grad = (
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  gradients: readonly (Tensor | null)[] = outputs.map(() => null),
  { retainGraph = false, allowUnused = false }: { retainGraph?: boolean; allowUnused?: boolean } = {},
): (Tensor | null)[] =>
  native
    .gradients(handles(outputs), handles(inputs), orNull(gradients), retainGraph, allowUnused)
    .map((handle) => (handle === null ? null : new Tensor(handle)));

const withGradMode = <T>(name: string, on: boolean, body: () => T): T => {
  const before = native.setGradMode(on);
  try {
    return refusePromise(name, body());
  } finally {
    native.setGradMode(before);
  }
};

/** Runs a synchronous body without recording operations for gradients; a promise is an error (`E_TORCH_SCOPE`). */
export const noGrad = <T>(body: () => T): T => withGradMode("noGrad", false, body);

/** Records again inside {@link noGrad}. */
export const enableGrad = <T>(body: () => T): T => withGradMode("enableGrad", true, body);

/** Whether operations are being recorded for gradients. */
export const gradEnabled = (): boolean => {
  const on = native.setGradMode(false);
  if (on) native.setGradMode(true);
  return on;
};
