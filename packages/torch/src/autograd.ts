/** Gradients: backward with given gradients, gradients of chosen inputs, and code that records none. */
import { native } from "./native.ts";
import { Tensor } from "./tensor.ts";

const handles = (tensors: readonly Tensor[]): number[] => tensors.map((tensor) => tensor.handle);
const orNull = (tensors: readonly (Tensor | null)[]): (number | null)[] =>
  tensors.map((tensor) => (tensor === null ? null : tensor.handle));

/**
 * Accumulates d(sum_i outputs_i · gradients_i) into `.grad` of every leaf that requires it.
 *
 * A gradient may be left out (null) for a scalar output, where it is 1. Saved tensors that were changed in place since
 * are an error.
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

const withGradMode = <T>(on: boolean, body: () => T): T => {
  const before = native.setGradMode(on);
  try {
    return body();
  } finally {
    native.setGradMode(before);
  }
};

/** Runs a synchronous body without recording operations for gradients. */
export const noGrad = <T>(body: () => T): T => withGradMode(false, body);

/** Records again inside {@link noGrad}. */
export const enableGrad = <T>(body: () => T): T => withGradMode(true, body);
