/** Gradients of a model under Hugging Face's names, for comparison with other software and between ways of computing. */
import { ops } from "@mahalo/torch";
import type { LanguageModel } from "../folder/load.ts";
import type { BackboneWeights, Layer, Linear } from "../transformer/layer.ts";
import { Parameter } from "../transformer/parameters.ts";
import { writeWeights } from "../transformer/weights.ts";

/** A parameter whose value is another's gradient; zeros where there is none. */
const gradientAsWeight = (parameter: Parameter): Parameter =>
  new Parameter(parameter.name, parameter.gradient ?? ops.zerosLike(parameter.float()), undefined);

const linearGradient = ({ weight, bias }: Linear): Linear => ({
  weight: gradientAsWeight(weight),
  bias: bias && gradientAsWeight(bias),
});

const layerGradient = (layer: Layer): Layer => ({
  attentionNorm: gradientAsWeight(layer.attentionNorm),
  qkv: linearGradient(layer.qkv),
  queryNorm: layer.queryNorm && gradientAsWeight(layer.queryNorm),
  keyNorm: layer.keyNorm && gradientAsWeight(layer.keyNorm),
  attentionOut: linearGradient(layer.attentionOut),
  mlpNorm: gradientAsWeight(layer.mlpNorm),
  gateUp: linearGradient(layer.gateUp),
  down: linearGradient(layer.down),
});

/** Every gradient of the backbone and of what stands on it by name; zeros where nothing arrived. */
export const gradientsWith = (
  { backbone, config }: Pick<LanguageModel, "backbone" | "config">,
  heads: readonly Parameter[],
): Map<string, Float32Array> => {
  const { embedding, layers, norm } = backbone.weights;
  const gradients: BackboneWeights = {
    embedding: gradientAsWeight(embedding),
    layers: layers.map(layerGradient),
    norm: gradientAsWeight(norm),
  };
  return new Map([
    ...writeWeights(gradients, config).map(({ name, load }): [string, Float32Array] => [
      name,
      load().toFloat32Array(),
    ]),
    ...heads.map((head): [string, Float32Array] => [
      head.name,
      gradientAsWeight(head).value.toFloat32Array(),
    ]),
  ]);
};

/** Every gradient of the backbone and the heads by name; zeros where nothing arrived. */
export const gradientsOf = (model: LanguageModel): Map<string, Float32Array> =>
  gradientsWith(model, [model.heads.base, ...model.heads.parameters()]);

/** Lets the whole backbone, the base head and the objectives' heads train. */
export const trainAll = ({ backbone, heads }: LanguageModel): Parameter[] => {
  const all = [...backbone.parameters(), heads.base, ...heads.parameters()];
  for (const parameter of all) parameter.trainable = true;
  return all;
};

/** Forgets all gradients. */
export const clearGradients = ({ backbone, heads }: LanguageModel): void => {
  for (const parameter of [...backbone.parameters(), heads.base, ...heads.parameters()])
    parameter.clearGradient();
};

/** The part of a relative error that counts: |a - b| / max(1, |b|), at its largest. */
export const relativeDistance = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const right = b[i] ?? Number.NaN;
    const gap = Math.abs((a[i] ?? Number.NaN) - right) / Math.max(1, Math.abs(right));
    if (!(gap <= most)) most = Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap;
  }
  return most;
};

/** Relative error of a whole vector: |a - b| / |b| in the Euclidean norm; 0 for two of zeros. */
export const normDistance = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let [gap, size] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    const right = b[i] ?? Number.NaN;
    gap += ((a[i] ?? Number.NaN) - right) ** 2;
    size += right ** 2;
  }
  const share = gap === 0 ? 0 : Math.sqrt(gap / size);
  return Number.isNaN(share) ? Number.POSITIVE_INFINITY : share;
};
