/** Which logits a row's settings change before a token is drawn: bias, repetition, frequency and presence. */
import { ops, type Tensor, tensor } from "@mahalo/torch";
import { element } from "../core/need.ts";

// Shapes: N rows, V vocabulary, K logits that change, of all rows together.

/** Penalties on tokens that have been used, as sampling settings have them. */
export type Penalties = {
  repetitionPenalty: number;
  frequencyPenalty: number;
  presencePenalty: number;
};

/** Whether no penalty changes any logit. */
export const isUnpenalized = ({ repetitionPenalty, frequencyPenalty, presencePenalty }: Penalties): boolean =>
  repetitionPenalty === 1 && frequencyPenalty === 0 && presencePenalty === 0;

/** What there is to a token's logit: its bias, whether the text has used it, and how often the answer has. */
type Use = { bias: number; used: boolean; times: number };

/** What the changes of a text's logits depend on. */
export type LogitText = {
  /** Bias by token id. */
  bias?: ReadonlyMap<number, number> | undefined;
  prompt?: readonly number[] | undefined;
  /** Tokens of the answer so far. */
  answer?: readonly number[] | undefined;
};

/**
 * The changes of one answer's logits, as its tokens come. A token's logit x becomes, in this order:
 *
 *   x + bias                            of tokens with a bias
 *   x > 0 ? x / r : x * r               of tokens of prompt and answer, r being the repetition penalty
 *   x - f count - p                     of tokens of the answer, by frequency and presence penalty
 *
 * Source: Keskar et al. 2019 (repetition); OpenAI's API reference, as vLLM implements it (the others).
 */
export class LogitChanges {
  readonly #penalties: Penalties;
  /** Of every token whose logit changes. */
  readonly #uses = new Map<number, Use>();

  constructor(penalties: Penalties, { bias, prompt = [], answer = [] }: LogitText = {}) {
    this.#penalties = penalties;
    for (const [id, by] of bias ?? []) if (by !== 0) this.#use(id).bias = by;
    if (penalties.repetitionPenalty !== 1) for (const id of prompt) this.#use(id).used = true;
    for (const id of answer) this.accept(id);
  }

  /** Tokens whose logits change. */
  get ids(): Iterable<number> {
    return this.#uses.keys();
  }

  #use(id: number): Use {
    const known = this.#uses.get(id);
    if (known !== undefined) return known;
    const use = { bias: 0, used: false, times: 0 };
    this.#uses.set(id, use);
    return use;
  }

  /** The answer's next token. */
  accept(id: number): void {
    if (isUnpenalized(this.#penalties)) return;
    const use = this.#use(id);
    use.used = true;
    use.times += 1;
  }

  /** A copy that goes on by itself. */
  fork(): LogitChanges {
    const copy = new LogitChanges(this.#penalties);
    for (const [id, use] of this.#uses) copy.#uses.set(id, { ...use });
    return copy;
  }

  /** A token's logit as it is drawn from. */
  of(id: number, logit: number): number {
    const use = this.#uses.get(id);
    if (use === undefined) return logit;
    const { repetitionPenalty, frequencyPenalty, presencePenalty } = this.#penalties;
    const biased = logit + use.bias;
    const repeated = biased > 0 ? biased / repetitionPenalty : biased * repetitionPenalty;
    const penalized = use.used ? repeated : biased;
    return use.times > 0 ? penalized - frequencyPenalty * use.times - presencePenalty : penalized;
  }

  /** Changes a row of logits [V] in place. */
  apply(logits: Float32Array): void {
    for (const id of this.ids) {
      const logit = logits[id];
      if (logit !== undefined) logits[id] = this.of(id, logit);
    }
  }
}

/**
 * Rows of logits after their changes, as a float32 copy: number for number what {@link LogitChanges.apply} makes of each.
 *
 * Only the logits that change leave the tensor.
 *
 * @param changes row n's are `changes[n]`
 */
export const changedLogits = (logits_NV: Tensor, changes: readonly LogitChanges[]): Tensor => {
  const copy_NV = logits_NV.dtype === "float32" ? logits_NV.clone() : logits_NV.to("float32");
  const width = copy_NV.size(1);
  const places = changes.flatMap((change, row) => Array.from(change.ids, (id) => row * width + id));
  if (places.length === 0) return copy_NV;
  const places_K = tensor(places, { dtype: "int64", device: logits_NV.device });
  const all = copy_NV.view(-1);
  const values = all.indexSelect(0, places_K).toFloat32Array();
  for (const [index, place] of places.entries()) {
    const change = element(changes, Math.floor(place / width), "the changes of row");
    values[index] = change.of(place % width, element(values, index, "logit"));
  }
  ops.scatter_(all, 0, places_K, tensor(values, { device: logits_NV.device }));
  return copy_NV;
};
