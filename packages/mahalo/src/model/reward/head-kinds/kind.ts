/** What a kind of reward head is: its weights, forward and backward, score, losses, and its place in transformers' folders. */
import type { Tensor } from "@mahalo/torch";
import type { Parameter } from "../../transformer/parameters.ts";

// Shapes: N positions, D hidden, O outputs of a head, I width of the last layer's input.

/** A head's weights by the names of {@link RewardHeadKind.shapes}. */
export type HeadWeights = {
  /** @throws MahaloError E_INTERNAL for a name that the head has not */
  weight(name: string): Parameter;
  readonly weights: ReadonlyMap<string, Parameter>;
};

/** Outputs, and what the way back needs of the way there. */
export type HeadForward = { outputs_NO: Tensor; lastInput_NI: Tensor };

/** Loss of one position, and d(loss)/d(output) of each of its outputs. */
export type LabelLoss = { loss: number; gradients: readonly number[] };

/** How a head learns from labelled steps. */
export type StepsLoss = {
  loss(outputs: ArrayLike<number>, label: number): LabelLoss;
  /** Whether it can learn from a label, and the words for those it can. */
  accepts(label: number): boolean;
  range: string;
  /** Whether its labels are the classes 0 and 1, which other numbers are turned into. */
  classes: boolean;
};

/** How a head learns from pairs: as labelled ends of both responses, or by comparing their scores. */
export type PairsLoss =
  | { labels: { chosen: number; rejected: number } }
  | { compare(margin: number): { loss: number; slope: number } };

/** Class of transformers that holds a linear head: of the whole text, or of each of its tokens. */
export type HeadClass = "SequenceClassification" | "TokenClassification";

/** A kind of reward head. Steps or pairs that it cannot learn from are left out. */
export type RewardHeadKind = {
  /** How error messages speak of it, such as "a value head". */
  title: string;
  /** Numbers that it gives for one position. */
  outputs: number;
  /** Whether its score is a probability; else it is a number of any size. */
  probability: boolean;
  /** Shape of each of its tensors. */
  shapes(hiddenSize: number): Map<string, number[]>;
  /** Outputs [N, O] of float32 hidden states [N, D]; recorded by autograd unless inside noGrad. */
  forward(head: HeadWeights, x_ND: Tensor): HeadForward;
  /** Adds to the gradients of its weights and returns d(loss)/dx, [N, D], from d(loss)/d(output). Without autograd. */
  backward(head: HeadWeights, x_ND: Tensor, lastInput_NI: Tensor, gradient_NO: Tensor): Tensor;
  /** The score that a position's outputs mean. */
  score(outputs: ArrayLike<number>): number;
  steps?: StepsLoss;
  pairs?: PairsLoss;
  /** Its rows in transformers' `score`; a head that is no linear layer has none, and lies in a file of its own. */
  transformers?: {
    class: HeadClass;
    /** Names of its rows for config.json. */
    labels(name: string): string[];
    /** Whether the head of another's folder is of this kind, by its class and number of rows. */
    reads(headClass: HeadClass, rows: number): boolean;
  };
};
