/** Logits of several models mixed at every token, which is decoding by MOD: they read side by side and answer as one. */
import { MahaloError, noGrad, ops, scope, type Tensor } from "@mahalo/torch";
import type { LanguageModel } from "../model/folder/load.ts";
import { Heads, type Mix, normalizeMix } from "../model/heads/heads.ts";
import { cachedDecoder, type Decoder, type DecoderOptions } from "./decoder.ts";

// Shapes: R rows, D hidden of one model, V vocabulary; hidden states of all models lie side by side.

/** Heads of several models as one: mixed, they read the models' hidden states side by side. */
class JointHeads extends Heads {
  /** [w_1 W_1 | w_2 W_2 | ...], so that its product with [h_1 | h_2 | ...] is sum_k w_k (W_k h_k). */
  override mixFloat(mix: Mix): Tensor {
    const weights = normalizeMix(mix, this.objectives);
    return noGrad(() =>
      scope(() =>
        ops.cat(
          [...weights].map(([name, weight]) => this.get(name).float().mul(weight)),
          1,
        ),
      ),
    );
  }
}

/** Several decoders that do the same; each call's hidden states lie side by side. */
const jointDecoder = (decoders: readonly Decoder[]): Decoder => {
  const [first] = decoders;
  if (first === undefined) throw new MahaloError("E_JOINT_MODEL", "no model to decode with");
  const all = <T>(body: (decoder: Decoder) => T): T => {
    const [first] = decoders.map(body);
    return first as T;
  };
  const joined = (body: (decoder: Decoder) => Tensor): Tensor =>
    noGrad(() => scope(() => ops.cat(decoders.map(body), 1)));
  const sum = (of: (decoder: Decoder) => number): number =>
    decoders.reduce((total, decoder) => total + of(decoder), 0);
  return {
    maxBytes: sum(({ maxBytes }) => maxBytes),
    get rows() {
      return first.rows;
    },
    get bytes() {
      return sum(({ bytes }) => bytes);
    },
    get usedBytes() {
      return sum(({ usedBytes }) => usedBytes);
    },
    ids: (row) => first.ids(row),
    addRow: () => all((decoder) => decoder.addRow()),
    extend: (extensions) => joined((decoder) => decoder.extend(extensions)),
    step: (tokens, rows, mixes) => joined((decoder) => decoder.step(tokens, rows, mixes)),
    fork: (row, length) => all((decoder) => decoder.fork(row, length)),
    removeRow: (row) => all((decoder) => decoder.removeRow(row)),
    // What the models keep of rows that left may differ, so nothing is kept.
    insertPrefix: (row) => all((decoder) => decoder.removeRow(row)),
    matchPrefix: () => 0,
    addPrefixRow: () => all((decoder) => decoder.addRow()),
    fits: (lengths) => decoders.every((decoder) => decoder.fits(lengths)),
    // New rows share nothing with others here.
    hasRoom: (growth, added = []) =>
      decoders.every((decoder) =>
        decoder.hasRoom(
          growth,
          added.map(({ length }) => ({ length, ids: [] })),
        ),
      ),
    bytesFor: (lengths) => sum((decoder) => decoder.bytesFor(lengths)),
    dispose: () => all((decoder) => decoder.dispose()),
  };
};

/** Several models as one for `generate`: what it takes as model, and as `decoder`. */
export type LogitMixture = { model: LanguageModel; decoder: () => Decoder };

/**
 * Models of one head each that answer together: logits = sum_k w_k (W_k h_k) under the weights of the request's mix.
 *
 * Since log-softmax differs from logits by a constant of each position, this samples from pi(y) ~ prod_k pi_k(y)^w_k. With
 * all weight on one model it answers like that model, and costs as many passes as there are models whatever the weights.
 * Ask for at most a few mixes at a time: each holds a merged head.
 *
 * Source: Shi et al. 2024 (decoding-time alignment with multiple objectives), eq. 7, for the reverse KL divergence.
 *
 * @param models by objective; their owner disposes them. Vocabularies must be equal, sizes may differ.
 * @throws MahaloError E_JOINT_MODEL
 *
 * @example
 * const { model, decoder } = logitMixture(new Map([["a", one], ["b", other]]));
 * await generateAll(model, [{ ids, mix: { a: 0.5, b: 0.5 } }], { decoder });
 */
export const logitMixture = (
  models: ReadonlyMap<string, LanguageModel>,
  options: DecoderOptions = {},
): LogitMixture => {
  const [first, ...others] = models.values();
  if (first === undefined) throw new MahaloError("E_JOINT_MODEL", "no model to decode with");
  for (const [name, { heads, config }] of models) {
    const fault =
      heads.objectives.length > 0
        ? "has a head for each objective; name a model of one head"
        : config.vocabSize !== first.config.vocabSize
          ? `has ${config.vocabSize} tokens, the first model ${first.config.vocabSize}`
          : undefined;
    if (fault !== undefined) throw new MahaloError("E_JOINT_MODEL", `${name}: ${fault}`);
  }
  const maxPositions = Math.min(...[first, ...others].map(({ config }) => config.maxPositions));
  const heads = new JointHeads(
    first.heads.base,
    new Map([...models].map(([name, model]) => [name, model.heads.base])),
  );
  return {
    model: {
      ...first,
      config: { ...first.config, maxPositions },
      heads,
      // The models are their owner's; what is ours are merged heads.
      dispose: () => heads.clearMixes(),
    },
    decoder: () => jointDecoder([first, ...others].map((model) => cachedDecoder(model, options))),
  };
};
