/** A head's log-probabilities at response positions and its closed-form backward, chunk by chunk and without autograd. */
import { elementBytes, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { linear, multiply } from "../core/products.ts";
import type { Parameter } from "../model/transformer/parameters.ts";

// Shapes: N response positions, C positions of a chunk, D hidden, V vocabulary.

/** Rows of a chunk that keep a chunk's logits within `bytes`. */
const chunkRows = (vocabulary: number, bytes: number, elementBytes: number): number =>
  Math.max(1, Math.floor(bytes / (vocabulary * elementBytes)));

/** A head's weight [V, D], and where its gradient goes. */
export type HeadWeight = Pick<Parameter, "value" | "accumulate">;

/** How {@link headPass} works; results do not depend on it but for rounding. */
export type HeadPassOptions = {
  /** Positions of one chunk; by default as many as fit 64 MB of logits. */
  chunk?: number | undefined;
  /** Fused kernels (default on the CPU), or composed operators. */
  fused?: boolean | undefined;
};

/** Log-probabilities of one head, and what to call once their gradients are known. */
export type HeadPass = {
  /** log softmax(W h_n)[y_n] of each position, in nats. */
  logps: Float32Array;
  /**
   * Adds d(loss)/dW to the head's gradient and returns d(loss)/dh, [N, D], from d(loss)/d(logp) of each position:
   *
   *   d(loss)/d(logits_n) = slope_n (onehot(y_n) - softmax(W h_n))
   *
   * May be called once: the logits' memory becomes their gradient's.
   */
  backward(gradients: Float32Array): Tensor;
};

/** Log-probabilities of a chunk's targets, and their normalisers log(sum(e^logits)), both float32 [C]. */
type PickLogProbs = (logits_CV: Tensor, target_C: Tensor) => [logps_C: Tensor, norm_C: Tensor];
/** slope (onehot(target) - softmax(logits)), [C, V] in the logits' dtype. */
type Delta = (logits_CV: Tensor, norm_C: Tensor, target_C: Tensor, slope_C: Tensor) => Tensor;

const plainPick: PickLogProbs = (logits_CV, target_C) => {
  const float_CV = logits_CV.to("float32");
  const norm_C = ops.logsumexp(float_CV, [-1]);
  return [ops.gather(float_CV, -1, target_C.unsqueeze(1)).squeeze(1).sub(norm_C), norm_C];
};

const plainDelta: Delta = (logits_CV, norm_C, target_C, slope_C) => {
  const slope_C1 = slope_C.unsqueeze(1);
  const delta_CV = ops.exp_(logits_CV.to("float32").sub(norm_C.unsqueeze(1)));
  ops.mul_(delta_CV, ops.neg(slope_C1));
  ops.scatterAdd_(delta_CV, 1, target_C.unsqueeze(1), slope_C1);
  return delta_CV.to(logits_CV.dtype);
};

/**
 * Applies a head to the positions that need it and no others.
 *
 * Logits are kept between the two halves (one matrix product instead of two) in the compute dtype; normalisers are
 * float32. Source: gradient of log-softmax, used by method section 2.
 *
 * @param hidden_ND final hidden states that predict the targets
 * @param targets token ids, one for each row
 */
export const headPass = (
  hidden_ND: Tensor,
  head: HeadWeight,
  targets: Int32Array,
  options: HeadPassOptions = {},
): HeadPass => {
  const weight_VD = head.value.detach();
  const { fused = weight_VD.device === "cpu" } = options;
  const pick: PickLogProbs = fused ? ops.tokenLogProbs : plainPick;
  const delta: Delta = fused ? ops.tokenLogProbsDelta_ : plainDelta;
  const rows = targets.length;
  const chunk = options.chunk ?? chunkRows(weight_VD.size(0), 2 ** 26, elementBytes(weight_VD.dtype));
  const starts = Array.from({ length: Math.ceil(rows / chunk) }, (_, i) => i * chunk);
  const logps = new Float32Array(rows);
  const kept = noGrad(() =>
    starts.map((start) => {
      const count = Math.min(chunk, rows - start);
      const saved = scope(() => {
        const target_C = tensor(targets.subarray(start, start + count), { dtype: "int64" });
        const logits_CV = linear(hidden_ND.narrow(0, start, count), weight_VD);
        const [logps_C, norm_C] = pick(logits_CV, target_C);
        logps.set(logps_C.toFloat32Array(), start);
        return { logits_CV, norm_C, target_C };
      });
      return { start, count, ...saved };
    }),
  );
  const backward = (gradients: Float32Array): Tensor =>
    noGrad(() =>
      scope(() => {
        const parts = kept.map(({ start, count, logits_CV, norm_C, target_C }) =>
          scope(() => {
            const delta_CV = delta(
              logits_CV,
              norm_C,
              target_C,
              tensor(gradients.subarray(start, start + count)),
            );
            head.accumulate(multiply(delta_CV.t(), hidden_ND.narrow(0, start, count)));
            return multiply(delta_CV, weight_VD);
          }),
        );
        return parts.length === 1 && parts[0] ? parts[0] : ops.cat(parts, 0);
      }),
    );
  return { logps, backward };
};
