/** Output heads: one for each objective, and their mixes merged into one matrix. */
import { Generator, gradEnabled, keep, MahaloError, noGrad, ops, scope, type Tensor } from "@mahalo/torch";
import { linear } from "../../core/products.ts";
import { rng } from "../../core/random.ts";
import { listNames, nearest } from "../../core/suggest.ts";
import type { Int8Weight, Kernels } from "../transformer/kernels.ts";
import { type ComputeDType, type Parameter, parameter } from "../transformer/parameters.ts";
import { disposeInt8, quantize } from "../transformer/quantize.ts";
import { weightIn } from "./mix-weight.ts";

// Shapes: V vocabulary, D hidden, T tokens.

/** Weights over objectives. */
export type Mix = Readonly<Record<string, number>>;

/** Merged mixes that are kept; the least recently used goes first. */
export const CACHED_MIXES = 8;

/**
 * Checks a mix and scales it to sum 1; objectives that are left out weigh 0.
 *
 * @throws MahaloError E_MIX_UNKNOWN_OBJECTIVE, E_MIX_WEIGHT (negative, NaN, infinite), E_MIX_SUM (all zero)
 */
export const normalizeMix = (mix: Mix, objectives: readonly string[]): Map<string, number> => {
  for (const [name, weight] of Object.entries(mix)) {
    if (!objectives.includes(name)) {
      const close = nearest(name, objectives);
      throw new MahaloError(
        "E_MIX_UNKNOWN_OBJECTIVE",
        `mix.${name}: unknown objective "${name}"; the model has ${listNames(objectives) || "none"}`,
        { hint: close ? `did you mean "${close}"?` : undefined },
      );
    }
    if (!Number.isFinite(weight) || weight < 0) {
      throw new MahaloError("E_MIX_WEIGHT", `mix.${name}: weight ${weight} is not a number of at least 0`);
    }
  }
  const values = Object.values(mix);
  const sum = values.reduce((total, weight) => total + weight, 0);
  if (sum === Number.POSITIVE_INFINITY) {
    // Weights so large that only their sum overflows.
    const largest = Math.max(...values);
    return normalizeMix(
      Object.fromEntries(Object.entries(mix).map(([name, w]) => [name, w / largest])),
      objectives,
    );
  }
  if (sum === 0) {
    throw new MahaloError("E_MIX_SUM", "mix: the weights sum to 0", {
      hint: "give at least one objective a weight above 0",
    });
  }
  return new Map(objectives.map((name) => [name, weightIn(mix, name) / sum]));
};

/** Reads `accuracy=0.7,engagement=0.3`. */
export const parseMix = (text: string): Mix => {
  const mix: Record<string, number> = Object.create(null);
  for (const part of text.split(",")) {
    const match = /^\s*([^=\s]+)\s*=\s*(\S+)\s*$/.exec(part);
    const [, name, weight] = match ?? [];
    if (name === undefined || weight === undefined || Number.isNaN(Number(weight))) {
      throw new MahaloError("E_MIX_SYNTAX", `mix: "${part}" is not of the form objective=weight`, {
        hint: "for example accuracy=0.7,engagement=0.3",
      });
    }
    if (name in mix) throw new MahaloError("E_MIX_SYNTAX", `mix: "${name}" is given twice`);
    mix[name] = Number(weight);
  }
  return mix;
};

const disposeReady = ({ weight, int8 }: ReadyHead): void => {
  weight.dispose();
  disposeInt8(int8);
};

/** A head [V, D] that rows can be multiplied with. */
type ReadyHead = { weight: Tensor; int8: Int8Weight | undefined };

/**
 * The output heads of a model: a base head [V, D], and one head for each objective once it has any.
 *
 * Heads are never the embedding's memory, tied or not: noise or training on a head must not reach the input.
 */
export class Heads {
  readonly #byName: Map<string, Parameter>;
  readonly #base: Parameter;
  readonly #merged = new Map<string, ReadyHead>();
  #baseInt8: Int8Weight | undefined;

  /** @param base [V, D] head of the model as loaded */
  constructor(base: Parameter, byName: ReadonlyMap<string, Parameter> = new Map()) {
    this.#base = base;
    this.#byName = new Map(byName);
  }

  /** Objectives in the order they were added. */
  get objectives(): string[] {
    return [...this.#byName.keys()];
  }

  parameters(): Parameter[] {
    return [...this.#byName.values()];
  }

  /** The head of the model as loaded; SFT trains it, and it is the reference policy's head. */
  get base(): Parameter {
    return this.#base;
  }

  /** The head of one objective. */
  get(objective: string): Parameter {
    const head = this.#byName.get(objective);
    if (head === undefined) {
      const close = nearest(objective, this.objectives);
      throw new MahaloError(
        "E_HEAD_UNKNOWN_OBJECTIVE",
        `the model has no head for objective "${objective}"; it has ${listNames(this.objectives) || "none"}`,
        { hint: close ? `did you mean "${close}"?` : undefined },
      );
    }
    return head;
  }

  /**
   * Adds a trainable head for each objective: a copy of the base head plus normal noise, so that heads can part ways.
   *
   * The noise of a head depends on the seed and its objective's name alone (method, section 2; std 0.001).
   *
   * @throws MahaloError E_HEAD_EXISTS
   */
  addNoisyCopies(
    objectives: readonly string[],
    { seed, std = 0.001, compute }: { seed: number; std?: number; compute: ComputeDType },
  ): void {
    for (const name of objectives) {
      if (this.#byName.has(name))
        throw new MahaloError("E_HEAD_EXISTS", `the model has a head for "${name}" already`);
      const generator = new Generator(rng(seed, "head", name).integer(2 ** 31));
      const from = this.#base.float();
      const weights = noGrad(() =>
        scope(() => keep(ops.add(from, ops.randn(from.shape, { generator }), { alpha: std }).to("float32"))),
      );
      generator.dispose();
      const head = parameter(`heads.${name}.weight`, weights, { compute, training: true });
      head.trainable = true;
      this.#byName.set(name, head);
    }
  }

  /** Logits [T, V] of one objective's head. */
  logits(hidden_TD: Tensor, objective: string): Tensor {
    return linear(hidden_TD, this.get(objective).value);
  }

  /**
   * One head that answers like the weighted heads: sum_k w_k (W_k h) = (sum_k w_k W_k) h.
   *
   * Summed in float32 and kept for the next call with the same weights; the caller must not dispose it.
   *
   * @returns [V, D] in the compute dtype
   */
  mix(mix: Mix): Tensor {
    return this.#mixed(mix).weight;
  }

  #mixed(mix: Mix): ReadyHead {
    const weights = normalizeMix(mix, this.objectives);
    const key = JSON.stringify([...weights]);
    const cached = this.#merged.get(key);
    if (cached !== undefined) {
      this.#merged.delete(key);
      this.#merged.set(key, cached);
      return cached;
    }
    const weight = noGrad(() => scope(() => keep(this.mixFloat(mix).to(this.#base.value.dtype))));
    const merged = { weight, int8: this.#baseInt8 && quantize(weight) };
    this.#merged.set(key, merged);
    for (const [oldest, head] of this.#merged) {
      if (this.#merged.size <= CACHED_MIXES) break;
      disposeReady(head);
      this.#merged.delete(oldest);
    }
    return merged;
  }

  /** From here on decoded rows are multiplied with int8 copies of the base head and of merged mixes. */
  quantize(): void {
    this.clearMixes();
    disposeInt8(this.#baseInt8);
    this.#baseInt8 = quantize(this.#base.value);
  }

  /** Whether decoded rows are multiplied with int8 copies. */
  get quantized(): boolean {
    return this.#baseInt8 !== undefined;
  }

  /**
   * Logits [N, V] of decoded rows under a mix, or under the base head without one.
   *
   * Rows without gradients go through `kernels`' rowwise product where there is one, and come in float32: rounded to
   * bfloat16, logits of about 20 would differ from each other by eighths. Otherwise they have the hidden states' dtype.
   */
  logitsUnder(hidden_ND: Tensor, mix: Mix | undefined, { rowwise }: Pick<Kernels, "rowwise">): Tensor {
    const { weight, int8 } =
      mix === undefined ? { weight: this.#base.value, int8: this.#baseInt8 } : this.#mixed(mix);
    if (rowwise !== undefined && !gradEnabled()) {
      return rowwise.linear(hidden_ND, { weight, bias: null, int8 });
    }
    return linear(hidden_ND, weight);
  }

  /** The merged head in float32, computed anew; the caller disposes it. */
  mixFloat(mix: Mix): Tensor {
    const weights = normalizeMix(mix, this.objectives);
    return noGrad(() =>
      scope(() => {
        let sum: Tensor | undefined;
        for (const [name, weight] of weights) {
          if (weight === 0) continue;
          const part = this.get(name).float().mul(weight);
          if (sum === undefined) sum = part;
          else ops.add_(sum, part);
        }
        if (sum === undefined) throw new MahaloError("E_MIX_SUM", "mix: the weights sum to 0");
        return sum;
      }),
    );
  }

  /** Forgets merged mixes; needed after any head has changed. */
  clearMixes(): void {
    for (const head of this.#merged.values()) disposeReady(head);
    this.#merged.clear();
  }

  dispose(): void {
    this.clearMixes();
    disposeInt8(this.#baseInt8);
    this.#baseInt8 = undefined;
    for (const head of this.#byName.values()) head.dispose();
    this.#base.dispose();
  }
}
