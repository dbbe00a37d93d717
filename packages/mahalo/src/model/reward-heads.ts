/** Reward heads: small maps from the hidden state behind a step to the step's score. */
import { keep, MahaloError, ops, type Tensor, tensor } from "@mahalo/torch";
import { logistic } from "../core/logistic.ts";
import { stream } from "../core/random.ts";
import { listNames, nearest } from "../core/suggest.ts";
import { Parameter } from "./parameters.ts";

// Shapes: N positions, D hidden, O outputs of a head (2 for two classes, else 1).

/** Kinds of reward heads. */
export const headKinds = ["value", "soft", "hard", "bradley-terry"] as const;

/**
 * What a head is made of and means:
 * `value` is Linear(D, D), ReLU, Linear(D, 1) and gives a number of any size;
 * `soft` is Linear(D, 1), the logit of a number in [0, 1];
 * `hard` is Linear(D, 2), the logits of the classes 0 and 1;
 * `bradley-terry` is Linear(D, 1) without a bias, and only differences of its scores have a meaning.
 *
 * Source: method, section 1.
 */
export type HeadKind = (typeof headKinds)[number];

/** A head by name and kind. */
export type HeadSpec = { name: string; kind: HeadKind };

/** Numbers that a head of a kind gives for one position. */
export const outputsOf = (kind: HeadKind): 1 | 2 => (kind === "hard" ? 2 : 1);

/** Shape of each of a head's tensors by its name. */
export const headShapes = (kind: HeadKind, hiddenSize: number): Map<string, number[]> => {
  const outputs = outputsOf(kind);
  if (kind === "bradley-terry") return new Map([["weight", [outputs, hiddenSize]]]);
  if (kind !== "value") {
    return new Map([
      ["weight", [outputs, hiddenSize]],
      ["bias", [outputs]],
    ]);
  }
  return new Map([
    ["hidden.weight", [hiddenSize, hiddenSize]],
    ["hidden.bias", [hiddenSize]],
    ["out.weight", [outputs, hiddenSize]],
    ["out.bias", [outputs]],
  ]);
};

/**
 * The score that a head's outputs mean: the number itself, or for `soft` and `hard` a probability in [0, 1].
 *
 *   soft: σ(z);  hard: softmax(z0, z1) of class 1, which is σ(z1 - z0)
 */
export const scoreOf = (kind: HeadKind, outputs: ArrayLike<number>): number => {
  const [first = Number.NaN, second = Number.NaN] = [outputs[0], outputs[1]];
  if (kind === "soft") return logistic(first);
  return kind === "hard" ? logistic(second - first) : first;
};

/** One head; its weights and what it computes are float32 whatever the backbone computes in. */
export class RewardHead {
  readonly name: string;
  readonly kind: HeadKind;
  readonly #weights: ReadonlyMap<string, Parameter>;

  /** @param weights by the names of {@link headShapes} */
  constructor({ name, kind }: HeadSpec, weights: ReadonlyMap<string, Parameter>) {
    this.name = name;
    this.kind = kind;
    this.#weights = weights;
  }

  /** Numbers that it gives for one position. */
  get outputs(): 1 | 2 {
    return outputsOf(this.kind);
  }

  /** One of its weights. */
  weight(name: string): Parameter {
    const found = this.#weights.get(name);
    if (found !== undefined) return found;
    throw new MahaloError("E_INTERNAL", `a ${this.kind} head has no ${name}`, { exitStatus: 1 });
  }

  /** Every weight, by its name in the head. */
  get weights(): ReadonlyMap<string, Parameter> {
    return this.#weights;
  }

  /** Its outputs [N, O] in float32, recorded by autograd unless inside noGrad. */
  apply(hidden_ND: Tensor): Tensor {
    const x_ND = hidden_ND.to("float32");
    const value = (name: string): Tensor => this.weight(name).value;
    if (this.kind !== "value") {
      return ops.linear(x_ND, value("weight"), this.kind === "bradley-terry" ? null : value("bias"));
    }
    const inner_ND = ops.relu(ops.linear(x_ND, value("hidden.weight"), value("hidden.bias")));
    return ops.linear(inner_ND, value("out.weight"), value("out.bias"));
  }

  /** The score of each position. */
  scores(outputs: Float32Array): number[] {
    const { outputs: width, kind } = this;
    return Array.from({ length: outputs.length / width }, (_, i) =>
      scoreOf(kind, outputs.subarray(i * width, (i + 1) * width)),
    );
  }

  dispose(): void {
    for (const one of this.#weights.values()) one.dispose();
  }
}

/** A head of given float32 weights, by the names of {@link headShapes}; takes them over. */
export const makeHead = (
  spec: HeadSpec,
  hiddenSize: number,
  { training, load }: { training: boolean; load: (name: string, shape: number[]) => Tensor },
): RewardHead => {
  const weights = [...headShapes(spec.kind, hiddenSize)].map(([name, shape]): [string, Parameter] => {
    const value = keep(load(name, shape));
    return [name, new Parameter(`rewards.${spec.name}.${name}`, value, training ? value : undefined)];
  });
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
      const random = stream(seed, "reward-head", spec.name, name);
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
    const one = first !== undefined && others.length === 0 ? first : undefined;
    const known =
      objective !== undefined && this.#objectives.in === "heads"
        ? this.#heads.get(objective)
        : objective === undefined || this.objectives.includes(objective)
          ? one
          : undefined;
    if (known !== undefined) return known;
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
