/** Reads a reward head at the ends of steps; the head's backward is in closed form, without autograd. */
import { noGrad, scope, type Tensor, tensor } from "@mahalo/torch";
import { element } from "../core/need.ts";
import type { RewardHead } from "../model/reward/reward-heads.ts";
import type { Reader, Reading, TaskRow } from "./task.ts";

// Shapes: N positions, D hidden, O outputs of a head, I width of its last layer's input.

/**
 * Outputs of a head at given hidden states, and what to call once their slopes are known.
 *
 * Everything is float32; the gradient of the hidden states is of their own dtype.
 */
export const readHead = (head: RewardHead, hidden_ND: Tensor): Reading => {
  const { type } = head;
  const { values, lastInput_NI } = noGrad(() =>
    scope(() => {
      const { outputs_NO, lastInput_NI } = type.forward(head, hidden_ND.to("float32"));
      return { values: outputs_NO.toFloat32Array(), lastInput_NI };
    }),
  );
  const backward = (slopes: Float32Array): Tensor =>
    noGrad(() =>
      scope(() => {
        const gradient_NO = tensor(slopes, { shape: [slopes.length / type.outputs, type.outputs] });
        const x_ND = hidden_ND.to("float32");
        return type.backward(head, x_ND, lastInput_NI, gradient_NO).to(hidden_ND.dtype);
      }),
    );
  return { values, backward };
};

/**
 * A reader of one head.
 *
 * @param endsOf for each branch of a row the indices behind the tokens that the head is read at
 */
export const rewardReader = (
  head: RewardHead,
  endsOf: (row: TaskRow) => readonly (readonly number[])[],
): Reader => ({
  width: head.outputs,
  positions: (row, _packed, branch, index) =>
    element(endsOf(row), index, "branch").map((end) => branch.start + end - 1),
  read: (hidden_ND) => readHead(head, hidden_ND),
});
