/** Reward heads: small maps from the hidden state behind a step to the step's score. */
import { keep, MahaloError, type Tensor, tensor } from "@mahalo/torch";
import { rng } from "../../core/random.ts";
import { listNames, nearest } from "../../core/suggest.ts";
import { Parameter } from "../transformer/parameters.ts";
import type { HeadWeights, RewardHeadKind } from "./head-kinds/kind.ts";
import { headKinds } from "./head-kinds/registry.ts";

// Shapes: N positions, D hidden, O outputs of a head.

/** A head by name and kind. */
export type HeadSpec = { name: string; kind: string };

/** One head; its weights and what it computes are float32 whatever the backbone computes in. */
export class RewardHead implements HeadWeights {
  readonly name: string;
  readonly kind: string;
  /** What its kind is. */
  readonly type: RewardHeadKind;
  readonly #weights: ReadonlyMap<string, Parameter>;

  /** @param weights by the names of its kind's shapes */
  constructor({ name, kind }: HeadSpec, weights: ReadonlyMap<string, Parameter>) {
    this.name = name;
    this.kind = kind;
    this.type = headKinds.get(kind);
    this.#weights = weights;
  }

  /** Numbers that it gives for one position. */
  get outputs(): number {
    return this.type.outputs;
  }

  /** One of its weights. */
  weight(name: string): Parameter {
    const weight = this.#weights.get(name);
    if (weight !== undefined) return weight;
    throw new MahaloError("E_INTERNAL", `a ${this.kind} head has no ${name}`, { exitStatus: 1 });
  }

  /** Every weight, by its name in the head. */
  get weights(): ReadonlyMap<string, Parameter> {
    return this.#weights;
  }

  /** Its outputs [N, O] in float32, recorded by autograd unless inside noGrad. */
  apply(hidden_ND: Tensor): Tensor {
    return this.type.forward(this, hidden_ND.to("float32")).outputs_NO;
  }

  /** The score of each position. */
  scores(outputs: Float32Array): number[] {
    const { outputs: width, score } = this.type;
    return Array.from({ length: outputs.length / width }, (_, i) =>
      score(outputs.subarray(i * width, (i + 1) * width)),
    );
  }

  dispose(): void {
    for (const weight of this.#weights.values()) weight.dispose();
  }
}

/** A head of given float32 weights, by the names of its kind's shapes; takes them over. */
export const makeHead = (
  spec: HeadSpec,
  hiddenSize: number,
  { training, load }: { training: boolean; load: (name: string, shape: number[]) => Tensor },
): RewardHead => {
  const weights = [...headKinds.get(spec.kind).shapes(hiddenSize)].map(
    ([name, shape]): [string, Parameter] => {
      const value = keep(load(name, shape));
      return [name, new Parameter(`rewards.${spec.name}.${name}`, value, training ? value : undefined)];
    },
  );
  return new RewardHead(spec, new Map(weights));
};

/**
 * A head to be trained: weights uniform in ±1 / sqrt(D), as PyTorch's linear layers begin, and biases 0.
 *
 * A head's weights depend on the seed and its name alone.
 */
export const newHead = (spec: HeadSpec, hiddenSize: number, seed: number): RewardHead =>
  makeHead(spec, hiddenSize, {
    training: true,
    load: (name, shape) => {
      const random = rng(seed, "reward-head", spec.name, name);
      const bound = name.endsWith("bias") ? 0 : 1 / Math.sqrt(hiddenSize);
      const size = shape.reduce((product, length) => product * length, 1);
      const values = Float32Array.from({ length: size }, () => (2 * random.next() - 1) * bound);
      return tensor(values, { shape });
    },
  });

/** How a reward model of several objectives tells them apart. */
export type RewardObjectives =
  /** Each objective has a head of its name. */
  | { in: "heads" }
  /** One head for all; the objective is named in the prompt. */
  | { in: "prompt"; names: readonly string[] };

/** The heads of a reward model. */
export class RewardHeads {
  readonly #heads = new Map<string, RewardHead>();
  readonly #objectives: RewardObjectives;

  /** @throws MahaloError E_REWARD_HEADS for no head, two of a name, or several where objectives are named in the prompt */
  constructor(heads: readonly RewardHead[], objectives: RewardObjectives = { in: "heads" }) {
    this.#objectives = objectives;
    for (const head of heads) {
      if (this.#heads.has(head.name)) {
        throw new MahaloError("E_REWARD_HEADS", `there are two reward heads of the name "${head.name}"`);
      }
      this.#heads.set(head.name, head);
    }
    if (heads.length === 0) {
      throw new MahaloError("E_REWARD_HEADS", "a reward model needs at least one head");
    }
    if (objectives.in === "prompt" && (heads.length > 1 || objectives.names.length === 0)) {
      throw new MahaloError(
        "E_REWARD_HEADS",
        "objectives named in the prompt share one head, and there must be at least one",
      );
    }
  }

  /** The heads, in order. */
  get all(): RewardHead[] {
    return [...this.#heads.values()];
  }

  /** Whether objectives have heads of their own or are named in the prompt. */
  get objectivesIn(): RewardObjectives["in"] {
    return this.#objectives.in;
  }

  /** The objectives that the model scores. */
  get objectives(): string[] {
    return this.#objectives.in === "heads" ? [...this.#heads.keys()] : [...this.#objectives.names];
  }

  /**
   * The head that scores an objective; without a name, the only head there is.
   *
   * @throws MahaloError E_REWARD_OBJECTIVE
   */
  get(objective?: string): RewardHead {
    const [first, ...others] = this.all;
    const only = first !== undefined && others.length === 0 ? first : undefined;
    const head =
      objective !== undefined && this.#objectives.in === "heads"
        ? this.#heads.get(objective)
        : objective === undefined || this.objectives.includes(objective)
          ? only
          : undefined;
    if (head !== undefined) return head;
    const close = objective === undefined ? undefined : nearest(objective, this.objectives);
    throw new MahaloError(
      "E_REWARD_OBJECTIVE",
      `${
        objective === undefined
          ? "the reward model scores several objectives"
          : `the reward model does not score "${objective}"`
      }: it has ${listNames(this.objectives)}`,
      { hint: close ? `did you mean "${close}"?` : "name one of these" },
    );
  }

  parameters(): Parameter[] {
    return this.all.flatMap(({ weights }) => [...weights.values()]);
  }

  dispose(): void {
    for (const head of this.all) head.dispose();
  }
}
