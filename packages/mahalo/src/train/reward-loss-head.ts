/** Reads a reward head at the ends of steps; the head's backward is in closed form, without autograd. */
import { noGrad, scope, type Tensor, tensor } from "@mahalo/torch";
import { element } from "../core/need.ts";
import type { RewardHead } from "../model/reward/reward-heads.ts";
import type { HeadOutput, LossHead, TaskRow } from "./task.ts";

// Shapes: N positions, D hidden, O outputs of a head, I width of its last layer's input.

/**
 * Outputs of a head at given hidden states, and what to call once their gradients are known.
 *
 * Everything is float32; the gradient of the hidden states is of their own dtype.
 */
export const forwardRewardHead = (head: RewardHead, hidden_ND: Tensor): HeadOutput => {
  const { type } = head;
  const { values, lastInput_NI } = noGrad(() =>
    scope(() => {
      const { outputs_NO, lastInput_NI } = type.forward(head, hidden_ND.to("float32"));
      return { values: outputs_NO.toFloat32Array(), lastInput_NI };
    }),
  );
  const backward = (gradients: Float32Array): Tensor =>
    noGrad(() =>
      scope(() => {
        const gradient_NO = tensor(gradients, { shape: [gradients.length / type.outputs, type.outputs] });
        const x_ND = hidden_ND.to("float32");
        return type.backward(head, x_ND, lastInput_NI, gradient_NO).to(hidden_ND.dtype);
      }),
    );
  return { values, backward };
};

/**
 * A reward head as what a loss is computed from.
 *
 * @param endsOf for each completion of a row the indices behind the tokens that the head is read at
 */
export const rewardLossHead = (
  head: RewardHead,
  endsOf: (row: TaskRow) => readonly (readonly number[])[],
): LossHead => ({
  width: head.outputs,
  positions: (row, _packed, completion, index) =>
    element(endsOf(row), index, "completion").map((end) => completion.start + end - 1),
  forward: (hidden_ND) => forwardRewardHead(head, hidden_ND),
});
