/** Adapters as part of the weights they stand beside: what a model with adapters is held against. */
import { noGrad, ops, scope } from "@mahalo/torch";
import type { Adapter } from "../transformer/adapter.ts";
import type { Backbone } from "../transformer/backbone.ts";
import { type Linear, linearParameters } from "../transformer/layer.ts";

/** All linear maps of a backbone. */
export function linears(backbone: Backbone): Linear[] {
  return backbone.weights.layers.flatMap((layer) => [
    layer.qkv,
    layer.attentionOut,
    layer.gateUp,
    layer.down,
  ]);
}

/** Adds every adapter's update to its weight and sets the adapter aside; returns what {@link unmergeLora} needs. */
export function mergeLora(backbone: Backbone): Map<Linear, Adapter> {
  const merged = new Map<Linear, Adapter>();
  for (const linear of linears(backbone)) {
    if (linear.adapter === undefined) continue;
    shift(linear, linear.adapter, 1);
    merged.set(linear, linear.adapter);
    linear.adapter = undefined;
  }
  return merged;
}

/**
 * Takes merged updates out of the weights again and puts the adapters back.
 *
 * Weights come back up to the rounding of one sum: of float32 where masters are held, of bfloat16 in a model that was
 * loaded for inference in it.
 */
export function unmergeLora(merged: ReadonlyMap<Linear, Adapter>): void {
  for (const [linear, adapter] of merged) {
    shift(linear, adapter, -1);
    linear.adapter = adapter;
  }
}

function shift(linear: Linear, adapter: Adapter, sign: 1 | -1): void {
  noGrad(() =>
    scope(() => {
      const { weight } = linear;
      ops.add_(weight.master ?? weight.value, adapter.delta().to((weight.master ?? weight.value).dtype), {
        alpha: sign,
      });
      for (const parameter of linearParameters(linear)) parameter.syncFromMaster();
    }),
  );
}
