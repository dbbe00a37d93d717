/** Low-rank adapters of objectives: each objective's own update of the backbone, mixed by the same weights as the heads. */
import { isDeepStrictEqual } from "node:util";
import { keep, MahaloError, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { rng } from "../../core/random.ts";
import { weightIn } from "../heads/mix-weight.ts";
import type { BackboneWeights, Linear } from "./layer.ts";
import {
  type AdapterShape,
  adapterModules,
  adapterTensor,
  MapAdapters,
  sharedAdapter,
} from "./map-adapters.ts";
import { type ComputeDType, type Parameter, parameter } from "./parameters.ts";

// Shapes: T tokens, N inputs, M outputs, R rank, S ranks of all adapters of a map, side by side.

/** Tokens of one pass under one mix, which lie side by side; without a mix all adapters are off. */
export type MixedTokens = { length: number; mix: Readonly<Record<string, number>> | undefined };

/** The gain of an adapter under a normalised mix. */
export const gainIn = (mix: Readonly<Record<string, number>>, adapter: string): number =>
  adapter === sharedAdapter ? 1 : weightIn(mix, adapter);

/**
 * The adapters of a model: for each objective that has one a low-rank update of the chosen linear maps,
 *
 *   y = W x + sum_k g_k (alpha / R) B_k A_k x,  g_k: weight of objective k in the token's mix; 1 for the shared adapter
 *
 * W stays as it is. Without a mix nothing is added: the model is then the one that the adapters were trained on, which is
 * the reference policy.
 */
export class ObjectiveAdapters {
  readonly shape: AdapterShape;
  readonly #maps: { linear: Linear; adapters: MapAdapters }[];
  readonly #names: string[] = [];

  /** Adapters without matrices yet; `add` makes them. @throws MahaloError E_ADAPTERS */
  constructor(weights: BackboneWeights, shape: AdapterShape) {
    const { rank, alpha, layers, modules } = shape;
    const count = weights.layers.length;
    const hiddenSize = weights.norm.value.size(0);
    const twice = new Set(layers).size < layers.length || new Set(modules).size < modules.length;
    const stray = layers.find((layer) => !(Number.isInteger(layer) && layer >= 0 && layer < count));
    const fault =
      stray !== undefined
        ? `layer ${stray} is not one of the model's ${count}`
        : layers.length === 0 || modules.length === 0
          ? "no linear map is adapted"
          : twice
            ? "a linear map is named twice"
            : !(Number.isInteger(rank) && rank > 0 && rank <= hiddenSize)
              ? `rank ${rank} is not a whole number from 1 to the model's hidden size, ${hiddenSize}`
              : !(alpha > 0 && Number.isFinite(alpha))
                ? `alpha ${alpha} is not above 0`
                : undefined;
    if (fault !== undefined) throw new MahaloError("E_ADAPTERS", `adapters: ${fault}`);
    this.shape = shape;
    this.#maps = [...layers].flatMap((index) => {
      const layer = weights.layers[index];
      if (layer === undefined) return [];
      return modules.map((module) => {
        const linear = layer[adapterModules[module]];
        linear.adapters = new MapAdapters(`model.layers.${index}.${module}`);
        return { linear, adapters: linear.adapters };
      });
    });
  }

  /** Adapters by name, in order: the shared one and objectives'. */
  get names(): readonly string[] {
    return this.#names;
  }

  /** Objectives that have an adapter. */
  get objectives(): string[] {
    return this.#names.filter((name) => name !== sharedAdapter);
  }

  get shared(): boolean {
    return this.#names.includes(sharedAdapter);
  }

  /** The adapted linear maps: their weights, names and matrices. */
  get maps(): readonly { linear: Linear; adapters: MapAdapters }[] {
    return this.#maps;
  }

  /** Parameters of the named adapters, all by default. */
  parameters(names: readonly string[] = this.#names): Parameter[] {
    return this.#maps.flatMap(({ adapters }) =>
      names.flatMap((name) => {
        const matrices = adapters.get(name);
        return matrices === undefined ? [] : [matrices.a_RN, matrices.b_MR];
      }),
    );
  }

  /**
   * Adds adapters that change nothing yet: A is drawn, B is zero (Hu et al. 2021, section 4.1). An adapter's draw depends
   * on the seed and its name alone.
   *
   * @throws MahaloError E_ADAPTERS for one that is there
   */
  addNew(names: readonly string[], { seed, compute }: { seed: number; compute: ComputeDType }): void {
    const { rank } = this.shape;
    for (const name of names) {
      const random = rng(seed, "adapter", name);
      this.add(name, { compute, training: true }, (tensorName, [rows, columns]) => {
        if (tensorName.endsWith(".b")) return ops.zeros([rows, columns]);
        const bound = 1 / Math.sqrt(columns);
        const drawn = Float32Array.from({ length: rank * columns }, () => (2 * random.next() - 1) * bound);
        return tensor(drawn, { shape: [rows, columns] });
      });
    }
  }

  /**
   * Adds an adapter of given matrices.
   *
   * @param load the float32 matrix A [R, N] or B [M, R] of a map, by its name in files
   * @throws MahaloError E_ADAPTERS for one that is there
   */
  add(
    name: string,
    held: { compute: ComputeDType; training: boolean },
    load: (tensorName: string, shape: readonly [number, number]) => Tensor,
  ): void {
    if (this.#names.includes(name)) {
      throw new MahaloError("E_ADAPTERS", `the model has an adapter "${name}" already`);
    }
    const { rank } = this.shape;
    for (const { linear, adapters } of this.#maps) {
      const [outputs, inputs] = [linear.weight.value.size(0), linear.weight.value.size(1)];
      const made = (matrix: "a" | "b", shape: readonly [number, number]): Parameter => {
        const tensorName = adapterTensor(name, adapters.name, matrix);
        const weights = noGrad(() => scope(() => keep(load(tensorName, shape))));
        return parameter(tensorName, weights, held);
      };
      adapters.set(name, { a_RN: made("a", [rank, inputs]), b_MR: made("b", [outputs, rank]) });
    }
    this.#names.push(name);
  }

  /**
   * Gains of every token's adapters, alpha / R included, [T, S] in float32; undefined where no token has a mix.
   *
   * @param parts all tokens of a pass in order, with normalised mixes
   */
  gains(parts: readonly MixedTokens[], device = "cpu"): Tensor | undefined {
    if (parts.every(({ mix }) => mix === undefined)) return undefined;
    const { rank, alpha } = this.shape;
    const width = rank * this.#names.length;
    const gains = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0) * width);
    let offset = 0;
    for (const { length, mix } of parts) {
      const begin = offset;
      for (const [index, name] of this.#names.entries()) {
        const gain = mix === undefined ? 0 : gainIn(mix, name);
        gains.fill((gain * alpha) / rank, begin + index * rank, begin + (index + 1) * rank);
      }
      offset += length * width;
      for (let end = begin + width; end < offset; end += width) gains.copyWithin(end, begin, begin + width);
    }
    return tensor(gains, { shape: [gains.length / width, width], device });
  }

  /** What a normalised mix adds to the weight of a map, sum_k g_k (alpha / R) B_k A_k, float32 [M, N]; undefined for nothing. */
  delta(adapters: MapAdapters, mix: Readonly<Record<string, number>>): Tensor | undefined {
    const { rank, alpha } = this.shape;
    return noGrad(() =>
      scope(() => {
        let sum: Tensor | undefined;
        for (const name of this.#names) {
          const gain = gainIn(mix, name);
          const matrices = adapters.get(name);
          if (gain === 0 || matrices === undefined) continue;
          const update = matrices.b_MR
            .float()
            .matmul(matrices.a_RN.float())
            .mul((gain * alpha) / rank);
          sum = sum === undefined ? update : sum.add(update);
        }
        return sum;
      }),
    );
  }

  /** To be called after any adapter has changed. */
  forgetStacks(): void {
    for (const { adapters } of this.#maps) adapters.forgetStack();
  }

  dispose(): void {
    this.forgetStacks();
    for (const parameter of this.parameters()) parameter.dispose();
  }
}

/** What {@link addAdapters} is told. */
export type NewAdapters = Omit<AdapterShape, "layers"> & { lastLayers?: number | undefined; shared: boolean };

/**
 * Adds an adapter for each of the objectives, and the shared one where it is asked for; returns their parameters.
 *
 * @throws MahaloError E_ADAPTERS where the model has adapters of another shape, or for more layers than there are
 */
export const addAdapters = (
  backbone: { weights: BackboneWeights; compute: ComputeDType; adapters: ObjectiveAdapters | undefined },
  { lastLayers, shared, ...rest }: NewAdapters,
  objectives: readonly string[],
  seed: number,
): Parameter[] => {
  const { compute, weights } = backbone;
  const count = weights.layers.length;
  const adapted = Math.min(count, lastLayers ?? count);
  const layers = Array.from({ length: adapted }, (_, index) => count - adapted + index);
  const shape = { ...rest, layers };
  const present = backbone.adapters;
  if (present !== undefined && !isDeepStrictEqual(present.shape, shape)) {
    throw new MahaloError("E_ADAPTERS", "align.train.adapters: the model has adapters of another shape", {
      hint: `it has ${JSON.stringify(present.shape)}`,
    });
  }
  if (present !== undefined && shared && !present.shared) {
    throw new MahaloError("E_ADAPTERS", "align.train.adapters.shared: the model's adapters share none", {
      hint: "a shared adapter would change how its objectives answer; leave it out",
    });
  }
  const adapters = present ?? new ObjectiveAdapters(weights, shape);
  backbone.adapters = adapters;
  const names = [...(shared && !adapters.shared ? [sharedAdapter] : []), ...objectives];
  adapters.addNew(names, { seed, compute });
  return adapters.parameters(names);
};
