/** The decoder-only transformer of the Llama and Qwen families, from token ids to final hidden states. */
import { backward, gradEnabled, MahaloError, noGrad, ops, scope, type Tensor } from "@mahalo/torch";
import { linear, slowProducts } from "../../core/products.ts";
import type { ModelConfig } from "../folder/model-config.ts";
import type { Attend } from "./attention.ts";
import { kernelsFor } from "./fused-kernels.ts";
import { type Kernels, type RowwiseKernels, type RowwiseLinear, splitHeads } from "./kernels.ts";
import { type BackboneWeights, type Layer, type Linear, layerParameters } from "./layer.ts";
import type { ObjectiveAdapters } from "./objective-adapters.ts";
import type { ComputeDType, Parameter } from "./parameters.ts";
import { RopeTable, type Rotation } from "./rope.ts";

// Shapes: T tokens of a pass (rows laid end to end), D hidden, H query heads, G key-value heads, E head width,
// I width of the MLP, J = 2I, Q = (H + 2G)E, S ranks of a map's adapters.

/** Tokens of one pass. */
export type Tokens = {
  /** int64 [T]. */
  ids_T: Tensor;
  /** int64 [T]. */
  positions_T: Tensor;
  /** The largest position. */
  lastPosition: number;
  /** Gains of the objectives' adapters, [T, S] in float32; without them all adapters are off. */
  gains_TS?: Tensor | undefined;
};

const apply = (
  { weight, bias, adapter, adapters }: Linear,
  x: Tensor,
  gains_TS: Tensor | undefined,
): Tensor => {
  const y = linear(x, weight.value, bias?.value ?? null);
  const adapted = adapter === undefined ? y : y.add(adapter.apply(x));
  return adapters === undefined || gains_TS === undefined
    ? adapted
    : adapted.add(adapters.apply(x, gains_TS));
};

const rowwiseLinear = ({ weight, bias, int8, adapters }: Linear, adapted: boolean): RowwiseLinear => ({
  weight: weight.value,
  bias: bias?.value ?? null,
  int8,
  lowRank: adapted ? adapters?.stacked() : undefined,
});

/** Parameters of the low-rank adapters of a layer, which are not among {@link layerParameters}. */
const adapterParameters = ({ qkv, attentionOut, gateUp, down }: Layer): Parameter[] =>
  [qkv, attentionOut, gateUp, down].flatMap(({ adapter, adapters }) => [
    ...(adapter?.parameters() ?? []),
    ...(adapters?.parameters() ?? []),
  ]);

/** What every layer of a pass is given beside its input. */
type LayerInput = { rotation: Rotation; attend: Attend; gains_TS: Tensor | undefined };

/** Where a pass begins in place of the embedding: a layer, and its inputs [T, D]. */
export type Start = { layer: number; hidden_TD: Tensor };

/** How {@link Backbone.forward} computes. */
export type ForwardOptions = { rowwise?: boolean; start?: Start | undefined };

/** A pass whose gradient is still to come: hidden states, and what to call with d(loss)/d(hidden). */
export type Pass = { hidden_TD: Tensor; backward(gradient_TD: Tensor): void };

/** The transformer up to and with its last norm. */
export class Backbone {
  readonly config: ModelConfig;
  readonly weights: BackboneWeights;
  readonly compute: ComputeDType;
  kernels: Kernels;
  /** Objectives' low-rank updates of the linear maps, where the model has them. */
  adapters: ObjectiveAdapters | undefined;
  readonly #rope: RopeTable;
  /** Whether libtorch's products of bfloat16 are slow here, for want of instructions. */
  readonly #slowHalves: boolean;

  constructor(config: ModelConfig, weights: BackboneWeights, compute: ComputeDType, kernels?: Kernels) {
    this.config = config;
    this.weights = weights;
    this.compute = compute;
    this.kernels = kernels ?? kernelsFor(weights.embedding.value.device);
    this.#rope = new RopeTable(config, compute);
    this.#slowHalves = slowProducts(weights.embedding.value);
  }

  /** Every parameter, embedding first. */
  parameters(): Parameter[] {
    return [this.weights.embedding, ...this.weights.layers.flatMap(layerParameters), this.weights.norm];
  }

  /**
   * Final hidden states [T, D] of a pass, after the last norm; recorded by autograd unless inside noGrad.
   *
   * A layer's tensors are freed before the next layer begins (what autograd needs it holds by itself), so that memory
   * does not grow with the layers, and the next one finds it in the processor's cache.
   *
   * @param options.rowwise compute each token by itself where the device can, as decoding does: a token's state then does
   *   not depend, bit for bit, on what else is in the pass. Only without gradients and LoRA. Default: where the weights
   *   have int8 copies, or are bfloat16 and the processor has no products of it; there it is also the faster way.
   */
  forward(tokens: Tokens, attend: Attend, options: ForwardOptions = {}): Tensor {
    const x_TD = this.#layers(this.weights.layers.length, tokens, attend, options);
    return this.kernels.rmsNorm(x_TD, this.weights.norm.value, this.config.rmsNormEps);
  }

  /** What the first `count` layers give, [T, D]: the inputs of the next one. Computed as {@link Backbone.forward} does. */
  below(count: number, tokens: Tokens, attend: Attend, options: ForwardOptions = {}): Tensor {
    return this.#layers(count, tokens, attend, options);
  }

  #layers(
    count: number,
    tokens: Tokens,
    attend: Attend,
    { rowwise = this.#prefersRowwise(), start }: ForwardOptions,
  ): Tensor {
    const rotation = this.#rope.at(tokens.positions_T, tokens.lastPosition);
    let x_TD = start?.hidden_TD ?? this.embed(tokens);
    const kernels = rowwise && !gradEnabled() && !this.adapted ? this.kernels.rowwise : undefined;
    for (const [i, layer] of this.weights.layers.slice(0, count).entries()) {
      if (i < (start?.layer ?? 0)) continue;
      const y_TD = scope(() =>
        kernels
          ? this.#rowwiseLayer(kernels, i, layer, x_TD, { rotation, attend, gains_TS: tokens.gains_TS })
          : this.#layer(i, layer, x_TD, { rotation, attend, gains_TS: tokens.gains_TS }),
      );
      if (x_TD !== start?.hidden_TD) x_TD.dispose();
      x_TD = y_TD;
    }
    return x_TD;
  }

  /** Input embeddings [T, D]. */
  embed({ ids_T }: Tokens): Tensor {
    return ops.embedding(this.weights.embedding.value, ids_T);
  }

  /**
   * A pass for training: hidden states now, gradients when d(loss)/d(hidden) is known.
   *
   * With `checkpoint` only each layer's input is kept and the layer is computed again on the way back: less memory
   * for about a third more work. Gradients are the same. A backbone with nothing to train takes any gradient.
   *
   * @param options.start where the pass begins, at or below the first layer that trains
   */
  train(
    tokens: Tokens,
    attend: Attend,
    { checkpoint = false, start }: { checkpoint?: boolean; start?: Start | undefined } = {},
  ): Pass {
    const from = this.firstTrainable;
    const first = start?.layer ?? 0;
    if (start !== undefined && from < first) {
      throw new MahaloError("E_INTERNAL", `layer ${from} trains, below the start of the pass`, {
        exitStatus: 1,
      });
    }
    const rotation = this.#rope.at(tokens.positions_T, tokens.lastPosition);
    const { layers, norm } = this.weights;
    const embedded = start?.hidden_TD ?? (from < 0 ? this.embed(tokens) : noGrad(() => this.embed(tokens)));
    const step = (i: number, x: Tensor): Tensor => {
      const layer = layers[i];
      return layer === undefined
        ? this.kernels.rmsNorm(x, norm.value, this.config.rmsNormEps)
        : this.#layer(i, layer, x, { rotation, attend, gains_TS: tokens.gains_TS });
    };
    if (!checkpoint) {
      let x_TD = embedded;
      for (let i = first; i <= layers.length; i++)
        x_TD = i < from ? noGrad(() => step(i, x_TD)) : step(i, x_TD);
      return {
        hidden_TD: x_TD,
        backward: (gradient_TD) => {
          if (from <= layers.length) backward(x_TD, gradient_TD);
        },
      };
    }
    const inputs: Tensor[] = [];
    let x_TD = embedded;
    noGrad(() => {
      for (let i = first; i <= layers.length; i++) {
        inputs[i] = x_TD;
        x_TD = scope(() => step(i, x_TD));
      }
    });
    return {
      hidden_TD: x_TD,
      backward: (gradient_TD) => {
        let gradient = gradient_TD;
        for (let i = layers.length; i >= Math.max(first, from); i--) {
          const input = inputs[i];
          if (input === undefined)
            throw new MahaloError("E_INTERNAL", "a checkpoint is missing", { exitStatus: 1 });
          gradient = scope(() => {
            const leaf = input.detach();
            leaf.requiresGrad = i > from;
            backward(step(i, leaf), gradient);
            return leaf.grad ?? gradient;
          });
        }
        if (from < 0) backward(embedded, gradient);
      },
    };
  }

  /**
   * Index of the lowest layer with something to train; -1 when the embedding trains, the number of layers when the last
   * norm does alone, one more when nothing does.
   */
  get firstTrainable(): number {
    if (this.weights.embedding.trainable) return -1;
    const layer = this.weights.layers.findIndex((layer) =>
      [...layerParameters(layer), ...adapterParameters(layer)].some((parameter) => parameter.trainable),
    );
    if (layer >= 0) return layer;
    return this.weights.layers.length + (this.weights.norm.trainable ? 0 : 1);
  }

  #layer(index: number, layer: Layer, x_TD: Tensor, { rotation, attend, gains_TS }: LayerInput): Tensor {
    const { heads, headDim, rmsNormEps } = this.config;
    const { kernels } = this;
    const qkv_TQ = apply(layer.qkv, kernels.rmsNorm(x_TD, layer.attentionNorm.value, rmsNormEps), gains_TS);
    const [q_THE, k_TGE, v_TGE] = this.#heads(layer, qkv_TQ, rotation);
    const o_THE = attend(index, q_THE, k_TGE, v_TGE);
    const y_TD = x_TD.add(apply(layer.attentionOut, o_THE.reshape(-1, heads * headDim), gains_TS));
    const gateUp_TJ = apply(layer.gateUp, kernels.rmsNorm(y_TD, layer.mlpNorm.value, rmsNormEps), gains_TS);
    return y_TD.add(apply(layer.down, kernels.swiglu(gateUp_TJ), gains_TS));
  }

  /** As {@link Backbone.#layer}, row by row and without gradients. */
  #rowwiseLayer(
    kernels: RowwiseKernels,
    index: number,
    layer: Layer,
    x_TD: Tensor,
    { rotation, attend, gains_TS }: LayerInput,
  ): Tensor {
    const { heads, kvHeads, rmsNormEps: eps } = this.config;
    const adapted = gains_TS !== undefined;
    const front = {
      norm: layer.attentionNorm.value,
      qkv: rowwiseLinear(layer.qkv, adapted),
      queryNorm: layer.queryNorm?.value ?? null,
      keyNorm: layer.keyNorm?.value ?? null,
      ...{ heads, kvHeads, eps, gains_TS },
    };
    const [q_THE, k_TGE, v_TGE] = kernels.front(x_TD, front, rotation);
    const o_THE = attend(index, q_THE, k_TGE, v_TGE);
    return kernels.back(x_TD, o_THE, {
      out: rowwiseLinear(layer.attentionOut, adapted),
      norm: layer.mlpNorm.value,
      gateUp: rowwiseLinear(layer.gateUp, adapted),
      down: rowwiseLinear(layer.down, adapted),
      ...{ eps, gains_TS },
    });
  }

  #prefersRowwise(): boolean {
    return this.#slowHalves || this.weights.layers.some(({ qkv }) => qkv.int8 !== undefined);
  }

  /** Whether any linear map has a LoRA adapter, which is saved as part of its weight. */
  get adapted(): boolean {
    return this.weights.layers.some(({ qkv, attentionOut, gateUp, down }) =>
      [qkv, attentionOut, gateUp, down].some(({ adapter }) => adapter !== undefined),
    );
  }

  /** Rotated queries and keys, and values; Qwen3 norms each head before it is turned. */
  #heads(layer: Layer, qkv_TQ: Tensor, rotation: Rotation): [Tensor, Tensor, Tensor] {
    const { heads, kvHeads, headDim, rmsNormEps } = this.config;
    const { queryNorm, keyNorm } = layer;
    if (queryNorm === undefined || keyNorm === undefined) {
      return this.kernels.splitRotate(qkv_TQ, rotation, heads, kvHeads);
    }
    const [q_THE, k_TGE, v_TGE] = splitHeads(qkv_TQ, headDim, heads, kvHeads);
    const turn = (x: Tensor, norm: Parameter): Tensor =>
      this.kernels.rotate(this.kernels.rmsNorm(x, norm.value, rmsNormEps), rotation);
    return [turn(q_THE, queryNorm), turn(k_TGE, keyNorm), v_TGE];
  }

  dispose(): void {
    const adapters = this.weights.layers.flatMap(adapterParameters);
    this.adapters?.forgetStacks();
    for (const { qkv, attentionOut, gateUp, down } of this.weights.layers) {
      for (const { int8 } of [qkv, attentionOut, gateUp, down]) {
        int8?.values_NK.dispose();
        int8?.scale_N.dispose();
      }
    }
    for (const parameter of [...this.parameters(), ...adapters]) parameter.dispose();
    this.#rope.dispose();
  }
}
