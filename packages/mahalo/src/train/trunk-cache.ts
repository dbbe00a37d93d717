/** What the layers below the first one that trains give for each row, computed once: passes begin above them. */
import { noGrad, ops, scope, type Tensor } from "@mahalo/torch";
import { hashBytes } from "../core/files.ts";
import { element } from "../core/need.ts";
import { packRows } from "../data/tokens/packing.ts";
import { packedAttention } from "../model/transformer/attention.ts";
import type { Backbone, Start } from "../model/transformer/backbone.ts";
import { batchTokens } from "../model/transformer/tokens.ts";
import type { StateCache } from "./state-cache.ts";
import type { TaskRow } from "./task.ts";

// Shapes: T tokens of all rows, D hidden.

/**
 * The inputs of a layer by row, at every token.
 *
 * As hidden states that heads read, a row's are computed alone and found by its tokens, whoever asks. The layers below must
 * not change while it is in use.
 */
export class TrunkCache {
  readonly #backbone: Backbone;
  readonly #states: StateCache;
  readonly #keys = new WeakMap<TaskRow, string>();
  /** Number of layers below. */
  readonly layers: number;

  constructor(backbone: Backbone, layers: number, states: StateCache) {
    this.#backbone = backbone;
    this.#states = states;
    this.layers = layers;
  }

  /** Where a pass over packed rows begins; the states [T, D] belong to the caller's scope. */
  startOf(rows: readonly TaskRow[]): Start {
    const hidden_TD = noGrad(() =>
      scope(() =>
        ops.cat(
          rows.map((row) => this.#of(row)),
          0,
        ),
      ),
    );
    return { layer: this.layers, hidden_TD };
  }

  #of(row: TaskRow): Tensor {
    const { layers } = this;
    const key =
      this.#keys.get(row) ?? hashBytes(JSON.stringify(["trunk", layers, row.prompt, row.completions]));
    this.#keys.set(row, key);
    return this.#states.get(key, () => {
      const { batch } = element(packRows([row], Number.MAX_SAFE_INTEGER), 0, "batch");
      return this.#backbone.below(layers, batchTokens(batch), packedAttention(batch));
    });
  }
}
