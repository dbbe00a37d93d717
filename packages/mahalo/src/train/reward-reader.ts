/** Reads a reward head at the ends of steps; the head's backward is in closed form, without autograd. */
import { noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import type { RewardHead } from "../model/reward-heads.ts";
import type { Reader, Reading } from "./reader.ts";
import type { TaskRow } from "./task.ts";

// Shapes: N positions, D hidden, O outputs of a head.

/**
 * Gradients of a linear layer y = x W^T + b from d(loss)/dy: dW = dy^T x, db = sum_n dy_n, dx = dy W.
 *
 * Adds the first two to the head's and returns the third.
 */
const linearBackward = (head: RewardHead, layer: string, x_ND: Tensor, slope_NO: Tensor): Tensor => {
  const weight = head.weight(`${layer}weight`);
  const bias = head.weights.get(`${layer}bias`);
  weight.accumulate(ops.mm(slope_NO.t(), x_ND));
  bias?.accumulate(slope_NO.sum(0));
  return ops.mm(slope_NO, weight.value.detach());
};

/** d(loss)/dx from d(loss)/d(relu(x)): what was cut off passes nothing back. */
const reluBackward = (output_ND: Tensor, slope_ND: Tensor): Tensor =>
  slope_ND.mul(ops.gtScalar(output_ND, 0).to(slope_ND.dtype));

/**
 * Outputs of a head at given hidden states, and what to call once their slopes are known.
 *
 * Everything is float32; the gradient of the hidden states is of their own dtype.
 */
export const readHead = (head: RewardHead, hidden_ND: Tensor): Reading => {
  const { values, inner_ND } = noGrad(() =>
    scope(() => {
      const x_ND = hidden_ND.to("float32");
      const weight = (name: string): Tensor => head.weight(name).value.detach();
      const inner_ND =
        head.kind === "value"
          ? ops.relu(ops.linear(x_ND, weight("hidden.weight"), weight("hidden.bias")))
          : x_ND;
      const layer = head.kind === "value" ? "out." : "";
      const bias = head.weights.has(`${layer}bias`) ? weight(`${layer}bias`) : null;
      return { values: ops.linear(inner_ND, weight(`${layer}weight`), bias).toFloat32Array(), inner_ND };
    }),
  );
  const backward = (slopes: Float32Array): Tensor =>
    noGrad(() =>
      scope(() => {
        const x_ND = hidden_ND.to("float32");
        const slope_NO = tensor(slopes, { shape: [slopes.length / head.outputs, head.outputs] });
        if (head.kind !== "value") return linearBackward(head, "", x_ND, slope_NO).to(hidden_ND.dtype);
        const slope_ND = reluBackward(inner_ND, linearBackward(head, "out.", inner_ND, slope_NO));
        return linearBackward(head, "hidden.", x_ND, slope_ND).to(hidden_ND.dtype);
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
  positions: (row, _packed, branch, index) => (endsOf(row)[index] ?? []).map((end) => branch.start + end - 1),
  read: (hidden_ND) => readHead(head, hidden_ND),
});
