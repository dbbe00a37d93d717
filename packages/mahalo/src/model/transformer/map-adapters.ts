/** The adapters of one linear map: low-rank matrices by adapter, side by side for a pass. */
import { gradEnabled, keep, ops, scope, type Tensor } from "@mahalo/torch";
import { linear } from "../../core/products.ts";
import type { Parameter } from "./parameters.ts";

// Shapes: T tokens, N inputs, M outputs, R rank, S ranks of all adapters of a map, side by side.

/** The fused linear maps of a layer, by the names that vLLM has for them. */
export const adapterModules = {
  qkv_proj: "qkv",
  o_proj: "attentionOut",
  gate_up_proj: "gateUp",
  down_proj: "down",
} as const;

/** A linear map that can have an adapter. */
export type AdapterModule = keyof typeof adapterModules;

/** What all adapters of a model have in common. */
export type AdapterShape = {
  /** Rank R of an objective's update of one linear map. */
  rank: number;
  /** Updates are scaled by alpha / rank. */
  alpha: number;
  /** Indices of the layers that are adapted, in order. */
  layers: readonly number[];
  modules: readonly AdapterModule[];
};

/** The name of the adapter that every mix has with gain 1; no objective can be called so. */
export const sharedAdapter = "";

/** One adapter's matrices of one linear map: its update is B A. */
type LowRank = { a_RN: Parameter; b_MR: Parameter };

/** The matrices of all adapters of one linear map. */
export class MapAdapters {
  /** Name of the map in files: `model.layers.3.qkv_proj`. */
  readonly name: string;
  readonly #byAdapter = new Map<string, LowRank>();
  #stacked: readonly [a_SN: Tensor, b_MS: Tensor] | undefined;

  constructor(name: string) {
    this.name = name;
  }

  set(adapter: string, matrices: LowRank): void {
    this.forgetStack();
    this.#byAdapter.set(adapter, matrices);
  }

  get(adapter: string): LowRank | undefined {
    return this.#byAdapter.get(adapter);
  }

  parameters(): Parameter[] {
    return [...this.#byAdapter.values()].flatMap(({ a_RN, b_MR }) => [a_RN, b_MR]);
  }

  /** All matrices side by side, in the order of the adapters; kept until {@link forgetStack} where nothing is recorded. */
  stacked(): readonly [a_SN: Tensor, b_MS: Tensor] {
    if (gradEnabled()) return this.#stack();
    this.#stacked ??= scope(() => {
      const [a_SN, b_MS] = this.#stack();
      return [keep(a_SN.detach().clone()), keep(b_MS.detach().clone())] as const;
    });
    return this.#stacked;
  }

  #stack(): readonly [a_SN: Tensor, b_MS: Tensor] {
    const all = [...this.#byAdapter.values()];
    return [
      ops.cat(
        all.map(({ a_RN }) => a_RN.value),
        0,
      ),
      ops.cat(
        all.map(({ b_MR }) => b_MR.value),
        1,
      ),
    ];
  }

  /** To be called after any matrix has changed. */
  forgetStack(): void {
    for (const matrix of this.#stacked ?? []) matrix.dispose();
    this.#stacked = undefined;
  }

  /** The update of the outputs, ((x A^T) * gains) B^T, [T, M]. */
  apply(x_TN: Tensor, gains_TS: Tensor): Tensor {
    const [a_SN, b_MS] = this.stacked();
    return linear(linear(x_TN, a_SN).mul(gains_TS.to(x_TN.dtype)), b_MS);
  }
}

/** Name of a matrix in files. */
export const adapterTensor = (adapter: string, map: string, matrix: "a" | "b"): string =>
  adapter === sharedAdapter ? `shared.${map}.${matrix}` : `adapters.${adapter}.${map}.${matrix}`;
