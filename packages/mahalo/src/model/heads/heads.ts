/** Output heads: one for each objective, and their mixes merged into one matrix. */
import {
  Generator,
  gradEnabled,
  keep,
  MahaloError,
  noGrad,
  ops,
  scope,
  type Tensor,
  tensor,
} from "@mahalo/torch";
import { linear } from "../../core/products.ts";
import { rng } from "../../core/random.ts";
import { listNames, nearest } from "../../core/suggest.ts";
import type { Int8Weight, Kernels } from "../transformer/kernels.ts";
import { type ComputeDType, type Parameter, parameter } from "../transformer/parameters.ts";
import { disposeInt8, quantize } from "../transformer/quantize.ts";
import { weightIn } from "./mix-weight.ts";

// Shapes: V vocabulary, D hidden, T tokens, N rows, R rank, S ranks of all low-rank heads side by side.

/** Weights over objectives. */
export type Mix = Readonly<Record<string, number>>;

/** All objectives alike. */
export const evenMix = (objectives: readonly string[]): Mix =>
  Object.fromEntries(objectives.map((name) => [name, 1]));

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

/** Name of a matrix of a low-rank head in files. */
export const headTensor = (objective: string, matrix: "u" | "v"): string => `heads.${objective}.${matrix}`;

const disposeReady = ({ weight, int8 }: ReadyHead): void => {
  weight.dispose();
  disposeInt8(int8);
};

/** A head as an update of the base head: W_k = W_0 + U_k V_k. */
export type LowRankHead = { u_VR: Parameter; v_RD: Parameter };

/** An objective's head: its own weights [V, D], or an update of the base head. */
export type Head = Parameter | LowRankHead;

const isLowRank = (head: Head): head is LowRankHead => "u_VR" in head;

const headParameters = (head: Head): Parameter[] => (isLowRank(head) ? [head.u_VR, head.v_RD] : [head]);

/** A head [V, D] that rows can be multiplied with. */
type ReadyHead = { weight: Tensor; int8: Int8Weight | undefined };

/**
 * The output heads of a model: a base head [V, D], and one head for each objective once it has any.
 *
 * Heads are never the embedding's memory, tied or not: noise or training on a head must not reach the input.
 */
export class Heads {
  readonly #byName: Map<string, Head>;
  readonly #base: Parameter;
  readonly #merged = new Map<string, ReadyHead>();
  #baseInt8: Int8Weight | undefined;
  /** V [S, D] and U [V, S] of the low-rank heads. */
  #stack: readonly [v_SD: Tensor, u_VS: Tensor] | undefined;

  /** @param base [V, D] head of the model as loaded */
  constructor(base: Parameter, byName: ReadonlyMap<string, Head> = new Map()) {
    this.#base = base;
    this.#byName = new Map(byName);
  }

  /** Objectives in the order they were added. */
  get objectives(): string[] {
    return [...this.#byName.keys()];
  }

  /** Parameters of the named objectives' heads, all by default. */
  parameters(objectives: readonly string[] = this.objectives): Parameter[] {
    return objectives.flatMap((name) => headParameters(this.head(name)));
  }

  /** Rank of the heads, where they are updates of the base head. */
  get rank(): number | undefined {
    const [head] = this.#byName.values();
    return head !== undefined && isLowRank(head) ? head.v_RD.value.size(0) : undefined;
  }

  /** Whether all heads are updates of the base head, which rows of any mix then read together. */
  get lowRank(): boolean {
    return this.#byName.size > 0 && [...this.#byName.values()].every(isLowRank);
  }

  /** The head of the model as loaded; SFT trains it, and it is the reference policy's head. */
  get base(): Parameter {
    return this.#base;
  }

  /** The head of one objective that has weights of its own. @throws MahaloError E_HEAD_LOW_RANK */
  get(objective: string): Parameter {
    const head = this.head(objective);
    if (!isLowRank(head)) return head;
    throw new MahaloError("E_HEAD_LOW_RANK", `the head of "${objective}" is an update of the base head`, {
      exitStatus: 1,
    });
  }

  /** The head of one objective. @throws MahaloError E_HEAD_UNKNOWN_OBJECTIVE */
  head(objective: string): Head {
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

  /**
   * Adds a trainable head for each objective as an update of rank R of the base head, W_k = W_0 + U_k V_k, that changes
   * nothing yet: V is drawn, U is zero. A draw depends on the seed and the objective's name alone.
   *
   * @throws MahaloError E_HEAD_EXISTS; E_HEAD_RANK for a rank above the hidden size
   */
  addLowRank(
    objectives: readonly string[],
    { rank, seed, compute }: { rank: number; seed: number; compute: ComputeDType },
  ): void {
    const [vocabulary, hidden] = [this.#base.value.size(0), this.#base.value.size(1)];
    if (rank > hidden) {
      throw new MahaloError(
        "E_HEAD_RANK",
        `heads.rank: must be at most the model's hidden size, ${hidden}, not ${rank}`,
      );
    }
    for (const name of objectives) {
      if (this.#byName.has(name))
        throw new MahaloError("E_HEAD_EXISTS", `the model has a head for "${name}" already`);
      const random = rng(seed, "low-rank head", name);
      const bound = 1 / Math.sqrt(hidden);
      const drawn = Float32Array.from({ length: rank * hidden }, () => (2 * random.next() - 1) * bound);
      const held = (matrix: "u" | "v", weights: Tensor): Parameter => {
        const made = parameter(headTensor(name, matrix), keep(weights), { compute, training: true });
        made.trainable = true;
        return made;
      };
      this.#byName.set(name, {
        u_VR: held("u", ops.zeros([vocabulary, rank])),
        v_RD: held("v", tensor(drawn, { shape: [rank, hidden] })),
      });
    }
  }

  /** Adds a gradient of the merged head of one objective, d(loss)/dW [V, D], to the gradients of its own weights. */
  accumulate(objective: string, gradient_VD: Tensor): void {
    const head = this.head(objective);
    if (!isLowRank(head)) head.accumulate(gradient_VD);
    else {
      noGrad(() =>
        scope(() => {
          const float_VD = gradient_VD.to("float32");
          head.u_VR.accumulate(float_VD.matmul(head.v_RD.float().t()));
          head.v_RD.accumulate(head.u_VR.float().t().matmul(float_VD));
        }),
      );
    }
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

  /**
   * Logits [N, V] of rows that each have their own mix, of low-rank heads, in float32:
   *
   *   W_0 h_n + sum_k w_nk U_k (V_k h_n)
   *
   * The base head is read once for all rows, so a row costs the same under any mix and in any company.
   *
   * @param mixes normalised weights, row by row
   */
  lowRankLogits(hidden_ND: Tensor, mixes: readonly Mix[], { rowwise }: Pick<Kernels, "rowwise">): Tensor {
    const product = (x: Tensor, weight: Tensor, int8?: Int8Weight): Tensor =>
      rowwise === undefined
        ? linear(x.to(weight.dtype), weight).to("float32")
        : rowwise.linear(x, { weight, bias: null, int8 });
    const heads = [...this.#byName].flatMap(([name, head]) => (isLowRank(head) ? [{ name, head }] : []));
    this.#stack ??= scope(() => [
      keep(
        ops.cat(
          heads.map(({ head }) => head.v_RD.value.detach()),
          0,
        ),
      ),
      keep(
        ops
          .cat(
            heads.map(({ head }) => head.u_VR.value.detach()),
            1,
          )
          .contiguous(),
      ),
    ]);
    const [v_SD, u_VS] = this.#stack;
    const gains = mixes.flatMap((mix) =>
      heads.flatMap(({ name, head }) => new Array<number>(head.v_RD.value.size(0)).fill(weightIn(mix, name))),
    );
    const gains_NS = tensor(gains, { shape: [mixes.length, v_SD.size(0)], device: hidden_ND.device });
    const update_NV = product(product(hidden_ND, v_SD).mul(gains_NS), u_VS);
    return product(hidden_ND, this.#base.value, this.#baseInt8).add(update_NV);
  }

  /** The merged head in float32, computed anew; the caller disposes it. */
  mixFloat(mix: Mix): Tensor {
    const weights = normalizeMix(mix, this.objectives);
    return noGrad(() =>
      scope(() => {
        let sum: Tensor | undefined;
        const add = (part: Tensor): void => {
          if (sum === undefined) sum = part;
          else ops.add_(sum, part);
        };
        for (const [name, weight] of weights) {
          if (weight === 0) continue;
          const head = this.head(name);
          if (!isLowRank(head)) add(head.float().mul(weight));
          else {
            add(this.#base.float().mul(weight));
            add(head.u_VR.float().matmul(head.v_RD.float()).mul(weight));
          }
        }
        if (sum === undefined) throw new MahaloError("E_MIX_SUM", "mix: the weights sum to 0");
        return sum;
      }),
    );
  }

  /** Forgets merged mixes; needed after any head has changed. */
  clearMixes(): void {
    for (const matrix of this.#stack ?? []) matrix.dispose();
    this.#stack = undefined;
    for (const head of this.#merged.values()) disposeReady(head);
    this.#merged.clear();
  }

  dispose(): void {
    this.clearMixes();
    disposeInt8(this.#baseInt8);
    this.#baseInt8 = undefined;
    for (const weights of this.parameters()) weights.dispose();
    this.#base.dispose();
  }
}
