/** Operators of libtorch 2.15.0, generated from their own schemas by scripts/generate-ops.ts: do not edit. */
import { checkAttention } from "./checks.ts";
import { type DType, native } from "./native.ts";
import type { Generator } from "./random.ts";
import { Tensor } from "./tensor.ts";

const handleOf = (tensor: Tensor): number => tensor.handle;
const handleOrNull = (tensor: Tensor | null): number | null => (tensor === null ? null : tensor.handle);
const wrap = (handle: number): Tensor => new Tensor(handle);

let $add = 0;
/** self + alpha * other, elementwise. `add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor` */
export const add = (self: Tensor, other: Tensor, { alpha }: { alpha?: number | boolean | undefined } = {}): Tensor => {
  return new Tensor(native.call(($add ||= native.resolve("aten::add", "Tensor")), self.handle, other.handle, alpha) as number);
};

let $addScalar = 0;
/** self + alpha * other for a number. `add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor` */
export const addScalar = (self: Tensor, other: number | boolean, alpha?: number | boolean): Tensor => {
  return new Tensor(native.call(($addScalar ||= native.resolve("aten::add", "Scalar")), self.handle, other, alpha) as number);
};

let $add_ = 0;
/** Adds alpha * other in place. `add_.Tensor(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)` */
export const add_ = (self: Tensor, other: Tensor, { alpha }: { alpha?: number | boolean | undefined } = {}): Tensor => {
  native.call(($add_ ||= native.resolve("aten::add_", "Tensor")), self.handle, other.handle, alpha);
  return self;
};

let $addScalar_ = 0;
/** Adds a number in place. `add_.Scalar(Tensor(a!) self, Scalar other, Scalar alpha=1) -> Tensor(a!)` */
export const addScalar_ = (self: Tensor, other: number | boolean, alpha?: number | boolean): Tensor => {
  native.call(($addScalar_ ||= native.resolve("aten::add_", "Scalar")), self.handle, other, alpha);
  return self;
};

let $sub = 0;
/** self - alpha * other, elementwise. `sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor` */
export const sub = (self: Tensor, other: Tensor, { alpha }: { alpha?: number | boolean | undefined } = {}): Tensor => {
  return new Tensor(native.call(($sub ||= native.resolve("aten::sub", "Tensor")), self.handle, other.handle, alpha) as number);
};

let $subScalar = 0;
/** self - alpha * other for a number. `sub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor` */
export const subScalar = (self: Tensor, other: number | boolean, alpha?: number | boolean): Tensor => {
  return new Tensor(native.call(($subScalar ||= native.resolve("aten::sub", "Scalar")), self.handle, other, alpha) as number);
};

let $mul = 0;
/** Elementwise product. `mul.Tensor(Tensor self, Tensor other) -> Tensor` */
export const mul = (self: Tensor, other: Tensor): Tensor => {
  return new Tensor(native.call(($mul ||= native.resolve("aten::mul", "Tensor")), self.handle, other.handle) as number);
};

let $mulScalar = 0;
/** Product with a number. `mul.Scalar(Tensor self, Scalar other) -> Tensor` */
export const mulScalar = (self: Tensor, other: number | boolean): Tensor => {
  return new Tensor(native.call(($mulScalar ||= native.resolve("aten::mul", "Scalar")), self.handle, other) as number);
};

let $mul_ = 0;
/** Multiplies in place. `mul_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` */
export const mul_ = (self: Tensor, other: Tensor): Tensor => {
  native.call(($mul_ ||= native.resolve("aten::mul_", "Tensor")), self.handle, other.handle);
  return self;
};

let $mulScalar_ = 0;
/** Multiplies by a number in place. `mul_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` */
export const mulScalar_ = (self: Tensor, other: number | boolean): Tensor => {
  native.call(($mulScalar_ ||= native.resolve("aten::mul_", "Scalar")), self.handle, other);
  return self;
};

let $div = 0;
/** Elementwise quotient. `div.Tensor(Tensor self, Tensor other) -> Tensor` */
export const div = (self: Tensor, other: Tensor): Tensor => {
  return new Tensor(native.call(($div ||= native.resolve("aten::div", "Tensor")), self.handle, other.handle) as number);
};

let $divScalar = 0;
/** Quotient by a number. `div.Scalar(Tensor self, Scalar other) -> Tensor` */
export const divScalar = (self: Tensor, other: number | boolean): Tensor => {
  return new Tensor(native.call(($divScalar ||= native.resolve("aten::div", "Scalar")), self.handle, other) as number);
};

let $div_ = 0;
/** Divides in place. `div_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` */
export const div_ = (self: Tensor, other: Tensor): Tensor => {
  native.call(($div_ ||= native.resolve("aten::div_", "Tensor")), self.handle, other.handle);
  return self;
};

let $neg = 0;
/** Elementwise negative. `neg(Tensor self) -> Tensor` */
export const neg = (self: Tensor): Tensor => {
  return new Tensor(native.call(($neg ||= native.resolve("aten::neg", "")), self.handle) as number);
};

let $exp = 0;
/** Elementwise e^x. `exp(Tensor self) -> Tensor` */
export const exp = (self: Tensor): Tensor => {
  return new Tensor(native.call(($exp ||= native.resolve("aten::exp", "")), self.handle) as number);
};

let $exp_ = 0;
/** e^x in place. `exp_(Tensor(a!) self) -> Tensor(a!)` */
export const exp_ = (self: Tensor): Tensor => {
  native.call(($exp_ ||= native.resolve("aten::exp_", "")), self.handle);
  return self;
};

let $log = 0;
/** Elementwise natural logarithm. `log(Tensor self) -> Tensor` */
export const log = (self: Tensor): Tensor => {
  return new Tensor(native.call(($log ||= native.resolve("aten::log", "")), self.handle) as number);
};

let $sqrt = 0;
/** Elementwise square root. `sqrt(Tensor self) -> Tensor` */
export const sqrt = (self: Tensor): Tensor => {
  return new Tensor(native.call(($sqrt ||= native.resolve("aten::sqrt", "")), self.handle) as number);
};

let $rsqrt = 0;
/** Elementwise 1 / square root. `rsqrt(Tensor self) -> Tensor` */
export const rsqrt = (self: Tensor): Tensor => {
  return new Tensor(native.call(($rsqrt ||= native.resolve("aten::rsqrt", "")), self.handle) as number);
};

let $abs = 0;
/** Elementwise absolute value. `abs(Tensor self) -> Tensor` */
export const abs = (self: Tensor): Tensor => {
  return new Tensor(native.call(($abs ||= native.resolve("aten::abs", "")), self.handle) as number);
};

let $cos = 0;
/** Elementwise cosine. `cos(Tensor self) -> Tensor` */
export const cos = (self: Tensor): Tensor => {
  return new Tensor(native.call(($cos ||= native.resolve("aten::cos", "")), self.handle) as number);
};

let $sin = 0;
/** Elementwise sine. `sin(Tensor self) -> Tensor` */
export const sin = (self: Tensor): Tensor => {
  return new Tensor(native.call(($sin ||= native.resolve("aten::sin", "")), self.handle) as number);
};

let $tanh = 0;
/** Elementwise hyperbolic tangent. `tanh(Tensor self) -> Tensor` */
export const tanh = (self: Tensor): Tensor => {
  return new Tensor(native.call(($tanh ||= native.resolve("aten::tanh", "")), self.handle) as number);
};

let $pow = 0;
/** Elementwise power with a number as exponent. `pow.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor` */
export const pow = (self: Tensor, exponent: number | boolean): Tensor => {
  return new Tensor(native.call(($pow ||= native.resolve("aten::pow", "Tensor_Scalar")), self.handle, exponent) as number);
};

let $clamp = 0;
/** Elementwise bound from below and above. `clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor` */
export const clamp = (self: Tensor, min?: number | boolean | null, max?: number | boolean | null): Tensor => {
  return new Tensor(native.call(($clamp ||= native.resolve("aten::clamp", "")), self.handle, min, max) as number);
};

let $clamp_ = 0;
/** Bounds in place. `clamp_(Tensor(a!) self, Scalar? min=None, Scalar? max=None) -> Tensor(a!)` */
export const clamp_ = (self: Tensor, min?: number | boolean | null, max?: number | boolean | null): Tensor => {
  native.call(($clamp_ ||= native.resolve("aten::clamp_", "")), self.handle, min, max);
  return self;
};

let $outer = 0;
/** Outer product of two vectors. `outer(Tensor self, Tensor vec2) -> Tensor` */
export const outer = (self: Tensor, vec2: Tensor): Tensor => {
  return new Tensor(native.call(($outer ||= native.resolve("aten::outer", "")), self.handle, vec2.handle) as number);
};

let $dot = 0;
/** Inner product of two vectors. `dot(Tensor self, Tensor tensor) -> Tensor` */
export const dot = (self: Tensor, tensor: Tensor): Tensor => {
  return new Tensor(native.call(($dot ||= native.resolve("aten::dot", "")), self.handle, tensor.handle) as number);
};

let $sigmoid = 0;
/** Elementwise 1 / (1 + e^-x). `sigmoid(Tensor self) -> Tensor` */
export const sigmoid = (self: Tensor): Tensor => {
  return new Tensor(native.call(($sigmoid ||= native.resolve("aten::sigmoid", "")), self.handle) as number);
};

let $logSigmoid = 0;
/** Elementwise log(sigmoid(x)), stable. `log_sigmoid(Tensor self) -> Tensor` */
export const logSigmoid = (self: Tensor): Tensor => {
  return new Tensor(native.call(($logSigmoid ||= native.resolve("aten::log_sigmoid", "")), self.handle) as number);
};

let $silu = 0;
/** Elementwise x * sigmoid(x). `silu(Tensor self) -> Tensor` */
export const silu = (self: Tensor): Tensor => {
  return new Tensor(native.call(($silu ||= native.resolve("aten::silu", "")), self.handle) as number);
};

let $siluBackward = 0;
/** Gradient of silu by its input. `silu_backward(Tensor grad_output, Tensor self) -> Tensor` */
export const siluBackward = (gradOutput: Tensor, self: Tensor): Tensor => {
  return new Tensor(native.call(($siluBackward ||= native.resolve("aten::silu_backward", "")), gradOutput.handle, self.handle) as number);
};

let $relu = 0;
/** Elementwise max(x, 0). `relu(Tensor self) -> Tensor` */
export const relu = (self: Tensor): Tensor => {
  return new Tensor(native.call(($relu ||= native.resolve("aten::relu", "")), self.handle) as number);
};

let $softmax = 0;
/** Softmax along a dimension. `softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor` */
export const softmax = (self: Tensor, dim: number, dtype?: DType | null): Tensor => {
  return new Tensor(native.call(($softmax ||= native.resolve("aten::softmax", "int")), self.handle, dim, dtype) as number);
};

let $logSoftmax = 0;
/** Log-softmax along a dimension. `log_softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor` */
export const logSoftmax = (self: Tensor, dim: number, dtype?: DType | null): Tensor => {
  return new Tensor(native.call(($logSoftmax ||= native.resolve("aten::log_softmax", "int")), self.handle, dim, dtype) as number);
};

let $logsumexp = 0;
/** log(sum(e^x)) along dimensions, stable. `logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor` */
export const logsumexp = (self: Tensor, dim: readonly number[], keepdim?: boolean): Tensor => {
  return new Tensor(native.call(($logsumexp ||= native.resolve("aten::logsumexp", "")), self.handle, dim, keepdim) as number);
};

let $mseLoss = 0;
/** Squared error; reduction 0 none, 1 mean, 2 sum. `mse_loss(Tensor self, Tensor target, int reduction=1) -> Tensor` */
export const mseLoss = (self: Tensor, target: Tensor, reduction?: number): Tensor => {
  return new Tensor(native.call(($mseLoss ||= native.resolve("aten::mse_loss", "")), self.handle, target.handle, reduction) as number);
};

let $bceWithLogits = 0;
/** Binary cross-entropy on logits. `binary_cross_entropy_with_logits(Tensor self, Tensor target, Tensor? weight=None, Tensor? pos_weight=None, int reduction=1) -> Tensor` */
export const bceWithLogits = (self: Tensor, target: Tensor, weight?: Tensor | null, posWeight?: Tensor | null, reduction?: number): Tensor => {
  return new Tensor(native.call(($bceWithLogits ||= native.resolve("aten::binary_cross_entropy_with_logits", "")), self.handle, target.handle, weight?.handle, posWeight?.handle, reduction) as number);
};

let $crossEntropy = 0;
/** Cross-entropy of logits and class indices. `cross_entropy_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100, float label_smoothing=0.) -> Tensor` */
export const crossEntropy = (self: Tensor, target: Tensor, weight?: Tensor | null, reduction?: number, ignoreIndex?: number, labelSmoothing?: number): Tensor => {
  return new Tensor(native.call(($crossEntropy ||= native.resolve("aten::cross_entropy_loss", "")), self.handle, target.handle, weight?.handle, reduction, ignoreIndex, labelSmoothing) as number);
};

let $matmul = 0;
/** Matrix product with broadcasting of batch dimensions. `matmul(Tensor self, Tensor other) -> Tensor` */
export const matmul = (self: Tensor, other: Tensor): Tensor => {
  return new Tensor(native.call(($matmul ||= native.resolve("aten::matmul", "")), self.handle, other.handle) as number);
};

let $mm = 0;
/** Product of two matrices. `mm(Tensor self, Tensor mat2) -> Tensor` */
export const mm = (self: Tensor, mat2: Tensor): Tensor => {
  return new Tensor(native.call(($mm ||= native.resolve("aten::mm", "")), self.handle, mat2.handle) as number);
};

let $mmOut = 0;
/** Product of two matrices into a given tensor. `mm.out(Tensor self, Tensor mat2, *, Tensor(a!) out) -> Tensor(a!)` */
export const mmOut = (self: Tensor, mat2: Tensor, { out }: { out: Tensor }): Tensor => {
  native.call(($mmOut ||= native.resolve("aten::mm", "out")), self.handle, mat2.handle, out.handle);
  return out.refresh();
};

let $bmm = 0;
/** Batched product of matrices. `bmm(Tensor self, Tensor mat2) -> Tensor` */
export const bmm = (self: Tensor, mat2: Tensor): Tensor => {
  return new Tensor(native.call(($bmm ||= native.resolve("aten::bmm", "")), self.handle, mat2.handle) as number);
};

let $addmm = 0;
/** beta * self + alpha * mat1 @ mat2. `addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor` */
export const addmm = (self: Tensor, mat1: Tensor, mat2: Tensor, { beta, alpha }: { beta?: number | boolean | undefined; alpha?: number | boolean | undefined } = {}): Tensor => {
  return new Tensor(native.call(($addmm ||= native.resolve("aten::addmm", "")), self.handle, mat1.handle, mat2.handle, beta, alpha) as number);
};

let $addmm_ = 0;
/** self = beta * self + alpha * mat1 @ mat2, in place. `addmm_(Tensor(a!) self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor(a!)` */
export const addmm_ = (self: Tensor, mat1: Tensor, mat2: Tensor, { beta, alpha }: { beta?: number | boolean | undefined; alpha?: number | boolean | undefined } = {}): Tensor => {
  native.call(($addmm_ ||= native.resolve("aten::addmm_", "")), self.handle, mat1.handle, mat2.handle, beta, alpha);
  return self;
};

let $linear = 0;
/** input @ weight^T + bias. `linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor` */
export const linear = (input: Tensor, weight: Tensor, bias?: Tensor | null): Tensor => {
  return new Tensor(native.call(($linear ||= native.resolve("aten::linear", "")), input.handle, weight.handle, bias?.handle) as number);
};

let $linearOut = 0;
/** input @ weight^T + bias into a given tensor. `linear.out(Tensor input, Tensor weight, Tensor? bias=None, *, Tensor(a!) out) -> Tensor(a!)` */
export const linearOut = (input: Tensor, weight: Tensor, bias: Tensor | null, { out }: { out: Tensor }): Tensor => {
  native.call(($linearOut ||= native.resolve("aten::linear", "out")), input.handle, weight.handle, bias?.handle, out.handle);
  return out.refresh();
};

let $int8Mm = 0;
/** self @ mat2^T with int8 weights and a scale for each row of mat2. `_weight_int8pack_mm(Tensor self, Tensor mat2, Tensor scales) -> Tensor` */
export const int8Mm = (self: Tensor, mat2: Tensor, scales: Tensor): Tensor => {
  return new Tensor(native.call(($int8Mm ||= native.resolve("aten::_weight_int8pack_mm", "")), self.handle, mat2.handle, scales.handle) as number);
};

let $embedding = 0;
/** Rows of weight by index. `embedding(Tensor weight, Tensor indices, SymInt padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False) -> Tensor` */
export const embedding = (weight: Tensor, indices: Tensor, paddingIdx?: number, scaleGradByFreq?: boolean, sparse?: boolean): Tensor => {
  return new Tensor(native.call(($embedding ||= native.resolve("aten::embedding", "")), weight.handle, indices.handle, paddingIdx, scaleGradByFreq, sparse) as number);
};

let $rmsNorm = 0;
/** x / sqrt(mean(x^2) + eps) * weight over the last dimensions. `rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor` */
export const rmsNorm = (input: Tensor, normalizedShape: readonly number[], weight?: Tensor | null, eps?: number | null): Tensor => {
  return new Tensor(native.call(($rmsNorm ||= native.resolve("aten::rms_norm", "")), input.handle, normalizedShape, weight?.handle, eps) as number);
};

let $fusedRmsNorm = 0;
/** rms_norm and the reciprocal of the root mean square. `_fused_rms_norm(Tensor input, int[] normalized_shape, Tensor? weight, float? eps) -> (Tensor, Tensor)` */
export const fusedRmsNorm = (input: Tensor, normalizedShape: readonly number[], weight?: Tensor | null, eps?: number | null): [Tensor, Tensor] => {
  const r = native.call(($fusedRmsNorm ||= native.resolve("aten::_fused_rms_norm", "")), input.handle, normalizedShape, weight?.handle, eps) as unknown[];
  return [wrap(r[0] as number), wrap(r[1] as number)];
};

let $scaledDotProductAttention = 0;
/** softmax(q k^T * scale + mask) v. `scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0., bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor` */
export const scaledDotProductAttention = (query: Tensor, key: Tensor, value: Tensor, attnMask?: Tensor | null, dropoutP?: number, isCausal?: boolean, { scale, enableGqa }: { scale?: number | null | undefined; enableGqa?: boolean | undefined } = {}): Tensor => {
  return new Tensor(native.call(($scaledDotProductAttention ||= native.resolve("aten::scaled_dot_product_attention", "")), query.handle, key.handle, value.handle, attnMask?.handle, dropoutP, isCausal, scale, enableGqa) as number);
};

let $flashAttentionCpu = 0;
/** Attention in blocks on the CPU, with the log-sum-exp of each query. `_scaled_dot_product_flash_attention_for_cpu(Tensor query, Tensor key, Tensor value, float dropout_p=0., bool is_causal=False, *, Tensor? attn_mask=None, float? scale=None) -> (Tensor output, Tensor logsumexp)` */
export const flashAttentionCpu = (query: Tensor, key: Tensor, value: Tensor, dropoutP?: number, isCausal?: boolean, { attnMask, scale }: { attnMask?: Tensor | null | undefined; scale?: number | null | undefined } = {}): [Tensor, Tensor] => {
  checkAttention(query, key, value);
  const r = native.call(($flashAttentionCpu ||= native.resolve("aten::_scaled_dot_product_flash_attention_for_cpu", "")), query.handle, key.handle, value.handle, dropoutP, isCausal, attnMask?.handle, scale) as unknown[];
  return [wrap(r[0] as number), wrap(r[1] as number)];
};

let $flashAttentionCpuBackward = 0;
/** Gradients of flashAttentionCpu by query, key and value. `_scaled_dot_product_flash_attention_for_cpu_backward(Tensor grad_out, Tensor query, Tensor key, Tensor value, Tensor out, Tensor logsumexp, float dropout_p, bool is_causal, *, Tensor? attn_mask=None, float? scale=None) -> (Tensor grad_query, Tensor grad_key, Tensor grad_value)` */
export const flashAttentionCpuBackward = (gradOut: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, logsumexp: Tensor, dropoutP: number, isCausal: boolean, { attnMask, scale }: { attnMask?: Tensor | null | undefined; scale?: number | null | undefined } = {}): [Tensor, Tensor, Tensor] => {
  checkAttention(query, key, value);
  const r = native.call(($flashAttentionCpuBackward ||= native.resolve("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "")), gradOut.handle, query.handle, key.handle, value.handle, out.handle, logsumexp.handle, dropoutP, isCausal, attnMask?.handle, scale) as unknown[];
  return [wrap(r[0] as number), wrap(r[1] as number), wrap(r[2] as number)];
};

let $t = 0;
/** Transpose of a matrix. `t(Tensor(a) self) -> Tensor(a)` */
export const t = (self: Tensor): Tensor => {
  return new Tensor(native.call(($t ||= native.resolve("aten::t", "")), self.handle) as number);
};

let $transpose = 0;
/** Swaps two dimensions. `transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)` */
export const transpose = (self: Tensor, dim0: number, dim1: number): Tensor => {
  return new Tensor(native.call(($transpose ||= native.resolve("aten::transpose", "int")), self.handle, dim0, dim1) as number);
};

let $permute = 0;
/** Reorders dimensions. `permute(Tensor(a) self, int[] dims) -> Tensor(a)` */
export const permute = (self: Tensor, dims: readonly number[]): Tensor => {
  return new Tensor(native.call(($permute ||= native.resolve("aten::permute", "")), self.handle, dims) as number);
};

let $view = 0;
/** The same memory under another shape. `view(Tensor(a) self, SymInt[] size) -> Tensor(a)` */
export const view = (self: Tensor, size: readonly number[]): Tensor => {
  return new Tensor(native.call(($view ||= native.resolve("aten::view", "")), self.handle, size) as number);
};

let $viewDtype = 0;
/** The same memory as another dtype. `view.dtype(Tensor(a) self, ScalarType dtype) -> Tensor(a)` */
export const viewDtype = (self: Tensor, dtype: DType): Tensor => {
  return new Tensor(native.call(($viewDtype ||= native.resolve("aten::view", "dtype")), self.handle, dtype) as number);
};

let $reshape = 0;
/** Another shape, copied only where a view cannot do it. `reshape(Tensor(a) self, SymInt[] shape) -> Tensor(a)` */
export const reshape = (self: Tensor, shape: readonly number[]): Tensor => {
  return new Tensor(native.call(($reshape ||= native.resolve("aten::reshape", "")), self.handle, shape) as number);
};

let $expand = 0;
/** Repeats dimensions of size one without memory. `expand(Tensor(a) self, SymInt[] size, *, bool implicit=False) -> Tensor(a)` */
export const expand = (self: Tensor, size: readonly number[], { implicit }: { implicit?: boolean | undefined } = {}): Tensor => {
  return new Tensor(native.call(($expand ||= native.resolve("aten::expand", "")), self.handle, size, implicit) as number);
};

let $unsqueeze = 0;
/** Adds a dimension of size one. `unsqueeze(Tensor(a) self, int dim) -> Tensor(a)` */
export const unsqueeze = (self: Tensor, dim: number): Tensor => {
  return new Tensor(native.call(($unsqueeze ||= native.resolve("aten::unsqueeze", "")), self.handle, dim) as number);
};

let $squeeze = 0;
/** Drops a dimension of size one. `squeeze.dim(Tensor(a) self, int dim) -> Tensor(a)` */
export const squeeze = (self: Tensor, dim: number): Tensor => {
  return new Tensor(native.call(($squeeze ||= native.resolve("aten::squeeze", "dim")), self.handle, dim) as number);
};

let $narrow = 0;
/** A range along a dimension, as a view. `narrow(Tensor(a) self, int dim, SymInt start, SymInt length) -> Tensor(a)` */
export const narrow = (self: Tensor, dim: number, start: number, length: number): Tensor => {
  return new Tensor(native.call(($narrow ||= native.resolve("aten::narrow", "")), self.handle, dim, start, length) as number);
};

let $select = 0;
/** One index along a dimension, as a view. `select.int(Tensor(a) self, int dim, SymInt index) -> Tensor(a)` */
export const select = (self: Tensor, dim: number, index: number): Tensor => {
  return new Tensor(native.call(($select ||= native.resolve("aten::select", "int")), self.handle, dim, index) as number);
};

let $slice = 0;
/** start to end along a dimension with a step, as a view. `slice.Tensor(Tensor(a) self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor(a)` */
export const slice = (self: Tensor, dim?: number, start?: number | null, end?: number | null, step?: number): Tensor => {
  return new Tensor(native.call(($slice ||= native.resolve("aten::slice", "Tensor")), self.handle, dim, start, end, step) as number);
};

let $asStrided = 0;
/** A view with given sizes and strides. `as_strided(Tensor(a) self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor(a)` */
export const asStrided = (self: Tensor, size: readonly number[], stride: readonly number[], storageOffset?: number | null): Tensor => {
  return new Tensor(native.call(($asStrided ||= native.resolve("aten::as_strided", "")), self.handle, size, stride, storageOffset) as number);
};

let $cat = 0;
/** Joins along a dimension. `cat(Tensor[] tensors, int dim=0) -> Tensor` */
export const cat = (tensors: readonly Tensor[], dim?: number): Tensor => {
  return new Tensor(native.call(($cat ||= native.resolve("aten::cat", "")), tensors.map(handleOf), dim) as number);
};

let $stack = 0;
/** Joins along a new dimension. `stack(Tensor[] tensors, int dim=0) -> Tensor` */
export const stack = (tensors: readonly Tensor[], dim?: number): Tensor => {
  return new Tensor(native.call(($stack ||= native.resolve("aten::stack", "")), tensors.map(handleOf), dim) as number);
};

let $splitWithSizes = 0;
/** Parts of given sizes along a dimension, as views. `split_with_sizes(Tensor(a -> *) self, SymInt[] split_sizes, int dim=0) -> Tensor(a)[]` */
export const splitWithSizes = (self: Tensor, splitSizes: readonly number[], dim?: number): Tensor[] => {
  return (native.call(($splitWithSizes ||= native.resolve("aten::split_with_sizes", "")), self.handle, splitSizes, dim) as number[]).map(wrap);
};

let $repeat = 0;
/** Repeats along each dimension, copied. `repeat(Tensor self, SymInt[] repeats) -> Tensor` */
export const repeat = (self: Tensor, repeats: readonly number[]): Tensor => {
  return new Tensor(native.call(($repeat ||= native.resolve("aten::repeat", "")), self.handle, repeats) as number);
};

let $repeatInterleave = 0;
/** Repeats each element. `repeat_interleave.self_int(Tensor self, SymInt repeats, int? dim=None, *, SymInt? output_size=None) -> Tensor` */
export const repeatInterleave = (self: Tensor, repeats: number, dim?: number | null, { outputSize }: { outputSize?: number | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($repeatInterleave ||= native.resolve("aten::repeat_interleave", "self_int")), self.handle, repeats, dim, outputSize) as number);
};

let $flip = 0;
/** Reverses dimensions. `flip(Tensor self, int[] dims) -> Tensor` */
export const flip = (self: Tensor, dims: readonly number[]): Tensor => {
  return new Tensor(native.call(($flip ||= native.resolve("aten::flip", "")), self.handle, dims) as number);
};

let $contiguous = 0;
/** Row-major memory, copied only where needed. `contiguous(Tensor(a) self, *, MemoryFormat memory_format=0) -> Tensor(a)` */
export const contiguous = (self: Tensor, { memoryFormat }: { memoryFormat?: string | undefined } = {}): Tensor => {
  return new Tensor(native.call(($contiguous ||= native.resolve("aten::contiguous", "")), self.handle, memoryFormat) as number);
};

let $clone = 0;
/** A copy. `clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor` */
export const clone = (self: Tensor, { memoryFormat }: { memoryFormat?: string | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($clone ||= native.resolve("aten::clone", "")), self.handle, memoryFormat) as number);
};

let $detach = 0;
/** The same memory without gradient history. `detach(Tensor(a) self) -> Tensor(a)` */
export const detach = (self: Tensor): Tensor => {
  return new Tensor(native.call(($detach ||= native.resolve("aten::detach", "")), self.handle) as number);
};

let $toDtype = 0;
/** Another dtype; the same tensor when it has it already. `to.dtype(Tensor(a) self, ScalarType dtype, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)` */
export const toDtype = (self: Tensor, dtype: DType, nonBlocking?: boolean, copy?: boolean, memoryFormat?: string | null): Tensor => {
  return new Tensor(native.call(($toDtype ||= native.resolve("aten::to", "dtype")), self.handle, dtype, nonBlocking, copy, memoryFormat) as number);
};

let $toDevice = 0;
/** Another device and dtype. `to.device(Tensor(a) self, Device device, ScalarType dtype, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)` */
export const toDevice = (self: Tensor, device: string, dtype: DType, nonBlocking?: boolean, copy?: boolean, memoryFormat?: string | null): Tensor => {
  return new Tensor(native.call(($toDevice ||= native.resolve("aten::to", "device")), self.handle, device, dtype, nonBlocking, copy, memoryFormat) as number);
};

let $indexSelect = 0;
/** Rows by index along a dimension. `index_select(Tensor self, int dim, Tensor index) -> Tensor` */
export const indexSelect = (self: Tensor, dim: number, index: Tensor): Tensor => {
  return new Tensor(native.call(($indexSelect ||= native.resolve("aten::index_select", "")), self.handle, dim, index.handle) as number);
};

let $index = 0;
/** Elements by lists of indices. `index.Tensor(Tensor self, Tensor?[] indices) -> Tensor` */
export const index = (self: Tensor, indices: readonly (Tensor | null)[]): Tensor => {
  return new Tensor(native.call(($index ||= native.resolve("aten::index", "Tensor")), self.handle, indices.map(handleOrNull)) as number);
};

let $indexCopy_ = 0;
/** Writes rows by index in place. `index_copy_(Tensor(a!) self, int dim, Tensor index, Tensor source) -> Tensor(a!)` */
export const indexCopy_ = (self: Tensor, dim: number, index: Tensor, source: Tensor): Tensor => {
  native.call(($indexCopy_ ||= native.resolve("aten::index_copy_", "")), self.handle, dim, index.handle, source.handle);
  return self;
};

let $indexAdd_ = 0;
/** Adds rows by index in place. `index_add_(Tensor(a!) self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor(a!)` */
export const indexAdd_ = (self: Tensor, dim: number, index: Tensor, source: Tensor, { alpha }: { alpha?: number | boolean | undefined } = {}): Tensor => {
  native.call(($indexAdd_ ||= native.resolve("aten::index_add_", "")), self.handle, dim, index.handle, source.handle, alpha);
  return self;
};

let $gather = 0;
/** Elements by index along a dimension. `gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor` */
export const gather = (self: Tensor, dim: number, index: Tensor, { sparseGrad }: { sparseGrad?: boolean | undefined } = {}): Tensor => {
  return new Tensor(native.call(($gather ||= native.resolve("aten::gather", "")), self.handle, dim, index.handle, sparseGrad) as number);
};

let $scatter_ = 0;
/** Writes elements by index in place. `scatter_.src(Tensor(a!) self, int dim, Tensor index, Tensor src) -> Tensor(a!)` */
export const scatter_ = (self: Tensor, dim: number, index: Tensor, src: Tensor): Tensor => {
  native.call(($scatter_ ||= native.resolve("aten::scatter_", "src")), self.handle, dim, index.handle, src.handle);
  return self;
};

let $scatterValue_ = 0;
/** Writes one value by index in place. `scatter_.value(Tensor(a!) self, int dim, Tensor index, Scalar value) -> Tensor(a!)` */
export const scatterValue_ = (self: Tensor, dim: number, index: Tensor, value: number | boolean): Tensor => {
  native.call(($scatterValue_ ||= native.resolve("aten::scatter_", "value")), self.handle, dim, index.handle, value);
  return self;
};

let $scatterAdd_ = 0;
/** Adds elements by index in place. `scatter_add_(Tensor(a!) self, int dim, Tensor index, Tensor src) -> Tensor(a!)` */
export const scatterAdd_ = (self: Tensor, dim: number, index: Tensor, src: Tensor): Tensor => {
  native.call(($scatterAdd_ ||= native.resolve("aten::scatter_add_", "")), self.handle, dim, index.handle, src.handle);
  return self;
};

let $maskedFill = 0;
/** One value where the mask is true. `masked_fill.Scalar(Tensor self, Tensor mask, Scalar value) -> Tensor` */
export const maskedFill = (self: Tensor, mask: Tensor, value: number | boolean): Tensor => {
  return new Tensor(native.call(($maskedFill ||= native.resolve("aten::masked_fill", "Scalar")), self.handle, mask.handle, value) as number);
};

let $maskedFill_ = 0;
/** One value where the mask is true, in place. `masked_fill_.Scalar(Tensor(a!) self, Tensor mask, Scalar value) -> Tensor(a!)` */
export const maskedFill_ = (self: Tensor, mask: Tensor, value: number | boolean): Tensor => {
  native.call(($maskedFill_ ||= native.resolve("aten::masked_fill_", "Scalar")), self.handle, mask.handle, value);
  return self;
};

let $where = 0;
/** self where the condition is true, else other. `where.self(Tensor condition, Tensor self, Tensor other) -> Tensor` */
export const where = (condition: Tensor, self: Tensor, other: Tensor): Tensor => {
  return new Tensor(native.call(($where ||= native.resolve("aten::where", "self")), condition.handle, self.handle, other.handle) as number);
};

let $nonzero = 0;
/** Indices of the elements that are not zero. `nonzero(Tensor self) -> Tensor` */
export const nonzero = (self: Tensor): Tensor => {
  return new Tensor(native.call(($nonzero ||= native.resolve("aten::nonzero", "")), self.handle) as number);
};

let $tril = 0;
/** Lower triangle. `tril(Tensor self, SymInt diagonal=0) -> Tensor` */
export const tril = (self: Tensor, diagonal?: number): Tensor => {
  return new Tensor(native.call(($tril ||= native.resolve("aten::tril", "")), self.handle, diagonal) as number);
};

let $triu = 0;
/** Upper triangle. `triu(Tensor self, SymInt diagonal=0) -> Tensor` */
export const triu = (self: Tensor, diagonal?: number): Tensor => {
  return new Tensor(native.call(($triu ||= native.resolve("aten::triu", "")), self.handle, diagonal) as number);
};

let $eqScalar = 0;
/** Elementwise self == other. `eq.Scalar(Tensor self, Scalar other) -> Tensor` */
export const eqScalar = (self: Tensor, other: number | boolean): Tensor => {
  return new Tensor(native.call(($eqScalar ||= native.resolve("aten::eq", "Scalar")), self.handle, other) as number);
};

let $eq = 0;
/** Elementwise self == other. `eq.Tensor(Tensor self, Tensor other) -> Tensor` */
export const eq = (self: Tensor, other: Tensor): Tensor => {
  return new Tensor(native.call(($eq ||= native.resolve("aten::eq", "Tensor")), self.handle, other.handle) as number);
};

let $ltScalar = 0;
/** Elementwise self < other. `lt.Scalar(Tensor self, Scalar other) -> Tensor` */
export const ltScalar = (self: Tensor, other: number | boolean): Tensor => {
  return new Tensor(native.call(($ltScalar ||= native.resolve("aten::lt", "Scalar")), self.handle, other) as number);
};

let $lt = 0;
/** Elementwise self < other. `lt.Tensor(Tensor self, Tensor other) -> Tensor` */
export const lt = (self: Tensor, other: Tensor): Tensor => {
  return new Tensor(native.call(($lt ||= native.resolve("aten::lt", "Tensor")), self.handle, other.handle) as number);
};

let $le = 0;
/** Elementwise self <= other. `le.Tensor(Tensor self, Tensor other) -> Tensor` */
export const le = (self: Tensor, other: Tensor): Tensor => {
  return new Tensor(native.call(($le ||= native.resolve("aten::le", "Tensor")), self.handle, other.handle) as number);
};

let $gtScalar = 0;
/** Elementwise self > other. `gt.Scalar(Tensor self, Scalar other) -> Tensor` */
export const gtScalar = (self: Tensor, other: number | boolean): Tensor => {
  return new Tensor(native.call(($gtScalar ||= native.resolve("aten::gt", "Scalar")), self.handle, other) as number);
};

let $geScalar = 0;
/** Elementwise self >= other. `ge.Scalar(Tensor self, Scalar other) -> Tensor` */
export const geScalar = (self: Tensor, other: number | boolean): Tensor => {
  return new Tensor(native.call(($geScalar ||= native.resolve("aten::ge", "Scalar")), self.handle, other) as number);
};

let $gt = 0;
/** Elementwise self > other. `gt.Tensor(Tensor self, Tensor other) -> Tensor` */
export const gt = (self: Tensor, other: Tensor): Tensor => {
  return new Tensor(native.call(($gt ||= native.resolve("aten::gt", "Tensor")), self.handle, other.handle) as number);
};

let $ge = 0;
/** Elementwise self >= other. `ge.Tensor(Tensor self, Tensor other) -> Tensor` */
export const ge = (self: Tensor, other: Tensor): Tensor => {
  return new Tensor(native.call(($ge ||= native.resolve("aten::ge", "Tensor")), self.handle, other.handle) as number);
};

let $logicalAnd = 0;
/** Elementwise and. `logical_and(Tensor self, Tensor other) -> Tensor` */
export const logicalAnd = (self: Tensor, other: Tensor): Tensor => {
  return new Tensor(native.call(($logicalAnd ||= native.resolve("aten::logical_and", "")), self.handle, other.handle) as number);
};

let $logicalOr = 0;
/** Elementwise or. `logical_or(Tensor self, Tensor other) -> Tensor` */
export const logicalOr = (self: Tensor, other: Tensor): Tensor => {
  return new Tensor(native.call(($logicalOr ||= native.resolve("aten::logical_or", "")), self.handle, other.handle) as number);
};

let $logicalNot = 0;
/** Elementwise not. `logical_not(Tensor self) -> Tensor` */
export const logicalNot = (self: Tensor): Tensor => {
  return new Tensor(native.call(($logicalNot ||= native.resolve("aten::logical_not", "")), self.handle) as number);
};

let $isnan = 0;
/** Elementwise test for NaN. `isnan(Tensor self) -> Tensor` */
export const isnan = (self: Tensor): Tensor => {
  return new Tensor(native.call(($isnan ||= native.resolve("aten::isnan", "")), self.handle) as number);
};

let $isfinite = 0;
/** Elementwise test for a finite number. `isfinite(Tensor self) -> Tensor` */
export const isfinite = (self: Tensor): Tensor => {
  return new Tensor(native.call(($isfinite ||= native.resolve("aten::isfinite", "")), self.handle) as number);
};

let $all = 0;
/** Whether all elements are true. `all(Tensor self) -> Tensor` */
export const all = (self: Tensor): Tensor => {
  return new Tensor(native.call(($all ||= native.resolve("aten::all", "")), self.handle) as number);
};

let $any = 0;
/** Whether any element is true. `any(Tensor self) -> Tensor` */
export const any = (self: Tensor): Tensor => {
  return new Tensor(native.call(($any ||= native.resolve("aten::any", "")), self.handle) as number);
};

let $equal = 0;
/** Whether two tensors have the same size and elements. `equal(Tensor self, Tensor other) -> bool` */
export const equal = (self: Tensor, other: Tensor): boolean => {
  return native.call(($equal ||= native.resolve("aten::equal", "")), self.handle, other.handle) as boolean;
};

let $allclose = 0;
/** Whether all elements agree to |a - b| <= atol + rtol |b|. `allclose(Tensor self, Tensor other, float rtol=1.0000000000000001e-05, float atol=1e-08, bool equal_nan=False) -> bool` */
export const allclose = (self: Tensor, other: Tensor, rtol?: number, atol?: number, equalNan?: boolean): boolean => {
  return native.call(($allclose ||= native.resolve("aten::allclose", "")), self.handle, other.handle, rtol, atol, equalNan) as boolean;
};

let $sum = 0;
/** Sum of all elements. `sum(Tensor self, *, ScalarType? dtype=None) -> Tensor` */
export const sum = (self: Tensor, { dtype }: { dtype?: DType | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($sum ||= native.resolve("aten::sum", "")), self.handle, dtype) as number);
};

let $sumDim = 0;
/** Sum along dimensions. `sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor` */
export const sumDim = (self: Tensor, dim?: readonly number[] | null, keepdim?: boolean, { dtype }: { dtype?: DType | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($sumDim ||= native.resolve("aten::sum", "dim_IntList")), self.handle, dim, keepdim, dtype) as number);
};

let $mean = 0;
/** Mean of all elements. `mean(Tensor self, *, ScalarType? dtype=None) -> Tensor` */
export const mean = (self: Tensor, { dtype }: { dtype?: DType | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($mean ||= native.resolve("aten::mean", "")), self.handle, dtype) as number);
};

let $meanDim = 0;
/** Mean along dimensions. `mean.dim(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor` */
export const meanDim = (self: Tensor, dim?: readonly number[] | null, keepdim?: boolean, { dtype }: { dtype?: DType | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($meanDim ||= native.resolve("aten::mean", "dim")), self.handle, dim, keepdim, dtype) as number);
};

let $amax = 0;
/** Largest element along dimensions. `amax(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor` */
export const amax = (self: Tensor, dim?: readonly number[], keepdim?: boolean): Tensor => {
  return new Tensor(native.call(($amax ||= native.resolve("aten::amax", "")), self.handle, dim, keepdim) as number);
};

let $amin = 0;
/** Smallest element along dimensions. `amin(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor` */
export const amin = (self: Tensor, dim?: readonly number[], keepdim?: boolean): Tensor => {
  return new Tensor(native.call(($amin ||= native.resolve("aten::amin", "")), self.handle, dim, keepdim) as number);
};

let $max = 0;
/** Largest of all elements. `max(Tensor self) -> Tensor` */
export const max = (self: Tensor): Tensor => {
  return new Tensor(native.call(($max ||= native.resolve("aten::max", "")), self.handle) as number);
};

let $min = 0;
/** Smallest of all elements. `min(Tensor self) -> Tensor` */
export const min = (self: Tensor): Tensor => {
  return new Tensor(native.call(($min ||= native.resolve("aten::min", "")), self.handle) as number);
};

let $argmax = 0;
/** Index of the largest element. `argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor` */
export const argmax = (self: Tensor, dim?: number | null, keepdim?: boolean): Tensor => {
  return new Tensor(native.call(($argmax ||= native.resolve("aten::argmax", "")), self.handle, dim, keepdim) as number);
};

let $topk = 0;
/** The k largest elements and their indices. `topk(Tensor self, SymInt k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, Tensor indices)` */
export const topk = (self: Tensor, k: number, dim?: number, largest?: boolean, sorted?: boolean): [Tensor, Tensor] => {
  const r = native.call(($topk ||= native.resolve("aten::topk", "")), self.handle, k, dim, largest, sorted) as unknown[];
  return [wrap(r[0] as number), wrap(r[1] as number)];
};

let $sort = 0;
/** Sorted elements and their indices. `sort(Tensor self, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)` */
export const sort = (self: Tensor, dim?: number, descending?: boolean): [Tensor, Tensor] => {
  const r = native.call(($sort ||= native.resolve("aten::sort", "")), self.handle, dim, descending) as unknown[];
  return [wrap(r[0] as number), wrap(r[1] as number)];
};

let $cumsum = 0;
/** Running sum along a dimension. `cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor` */
export const cumsum = (self: Tensor, dim: number, { dtype }: { dtype?: DType | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($cumsum ||= native.resolve("aten::cumsum", "")), self.handle, dim, dtype) as number);
};

let $vectorNorm = 0;
/** Norm of the elements. `linalg_vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor` */
export const vectorNorm = (self: Tensor, ord?: number | boolean, dim?: readonly number[] | null, keepdim?: boolean, { dtype }: { dtype?: DType | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($vectorNorm ||= native.resolve("aten::linalg_vector_norm", "")), self.handle, ord, dim, keepdim, dtype) as number);
};

let $zeros = 0;
/** Zeros of a shape. `zeros(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` */
export const zeros = (size: readonly number[], { dtype, device }: { dtype?: DType | null | undefined; device?: string | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($zeros ||= native.resolve("aten::zeros", "")), size, dtype, undefined, device, undefined) as number);
};

let $ones = 0;
/** Ones of a shape. `ones(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` */
export const ones = (size: readonly number[], { dtype, device }: { dtype?: DType | null | undefined; device?: string | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($ones ||= native.resolve("aten::ones", "")), size, dtype, undefined, device, undefined) as number);
};

let $empty = 0;
/** Uninitialised memory of a shape. `empty.memory_format(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor` */
export const empty = (size: readonly number[], { dtype, device, memoryFormat }: { dtype?: DType | null | undefined; device?: string | null | undefined; memoryFormat?: string | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($empty ||= native.resolve("aten::empty", "memory_format")), size, dtype, undefined, device, undefined, memoryFormat) as number);
};

let $full = 0;
/** One value of a shape. `full(SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` */
export const full = (size: readonly number[], fillValue: number | boolean, { dtype, device }: { dtype?: DType | null | undefined; device?: string | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($full ||= native.resolve("aten::full", "")), size, fillValue, dtype, undefined, device, undefined) as number);
};

let $arange = 0;
/** start, start + step, ... below end. `arange.start_step(Scalar start, Scalar end, Scalar step=1, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` */
export const arange = (start: number | boolean, end: number | boolean, step?: number | boolean, { dtype, device }: { dtype?: DType | null | undefined; device?: string | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($arange ||= native.resolve("aten::arange", "start_step")), start, end, step, dtype, undefined, device, undefined) as number);
};

let $zerosLike = 0;
/** Zeros of another tensor's shape. `zeros_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor` */
export const zerosLike = (self: Tensor, { dtype, device, memoryFormat }: { dtype?: DType | null | undefined; device?: string | null | undefined; memoryFormat?: string | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($zerosLike ||= native.resolve("aten::zeros_like", "")), self.handle, dtype, undefined, device, undefined, memoryFormat) as number);
};

let $onesLike = 0;
/** Ones of another tensor's shape. `ones_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor` */
export const onesLike = (self: Tensor, { dtype, device, memoryFormat }: { dtype?: DType | null | undefined; device?: string | null | undefined; memoryFormat?: string | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($onesLike ||= native.resolve("aten::ones_like", "")), self.handle, dtype, undefined, device, undefined, memoryFormat) as number);
};

let $emptyLike = 0;
/** Uninitialised memory of another tensor's shape. `empty_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor` */
export const emptyLike = (self: Tensor, { dtype, device, memoryFormat }: { dtype?: DType | null | undefined; device?: string | null | undefined; memoryFormat?: string | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($emptyLike ||= native.resolve("aten::empty_like", "")), self.handle, dtype, undefined, device, undefined, memoryFormat) as number);
};

let $rand = 0;
/** Uniform numbers in [0, 1). `rand.generator(SymInt[] size, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` */
export const rand = (size: readonly number[], { generator, dtype, device }: { generator?: Generator | null | undefined; dtype?: DType | null | undefined; device?: string | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($rand ||= native.resolve("aten::rand", "generator")), size, generator?.handle, dtype, undefined, device, undefined) as number);
};

let $randn = 0;
/** Standard normal numbers. `randn.generator(SymInt[] size, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` */
export const randn = (size: readonly number[], { generator, dtype, device }: { generator?: Generator | null | undefined; dtype?: DType | null | undefined; device?: string | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($randn ||= native.resolve("aten::randn", "generator")), size, generator?.handle, dtype, undefined, device, undefined) as number);
};

let $randperm = 0;
/** A random permutation of 0 ... n-1. `randperm.generator(SymInt n, *, Generator? generator, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` */
export const randperm = (n: number, { generator, dtype, device }: { generator?: Generator | null | undefined; dtype?: DType | null | undefined; device?: string | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($randperm ||= native.resolve("aten::randperm", "generator")), n, generator?.handle, dtype, undefined, device, undefined) as number);
};

let $multinomial = 0;
/** Indices drawn by weight along the last dimension. `multinomial(Tensor self, SymInt num_samples, bool replacement=False, *, Generator? generator=None) -> Tensor` */
export const multinomial = (self: Tensor, numSamples: number, replacement?: boolean, { generator }: { generator?: Generator | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($multinomial ||= native.resolve("aten::multinomial", "")), self.handle, numSamples, replacement, generator?.handle) as number);
};

let $normal_ = 0;
/** Normal numbers in place. `normal_(Tensor(a!) self, float mean=0., float std=1., *, Generator? generator=None) -> Tensor(a!)` */
export const normal_ = (self: Tensor, mean?: number, std?: number, { generator }: { generator?: Generator | null | undefined } = {}): Tensor => {
  native.call(($normal_ ||= native.resolve("aten::normal_", "")), self.handle, mean, std, generator?.handle);
  return self;
};

let $uniform_ = 0;
/** Uniform numbers in place. `uniform_(Tensor(a!) self, float from=0., float to=1., *, Generator? generator=None) -> Tensor(a!)` */
export const uniform_ = (self: Tensor, from_?: number, to?: number, { generator }: { generator?: Generator | null | undefined } = {}): Tensor => {
  native.call(($uniform_ ||= native.resolve("aten::uniform_", "")), self.handle, from_, to, generator?.handle);
  return self;
};

let $copy_ = 0;
/** Copies another tensor's elements in place, converting their dtype. `copy_(Tensor(a!) self, Tensor src, bool non_blocking=False) -> Tensor(a!)` */
export const copy_ = (self: Tensor, src: Tensor, nonBlocking?: boolean): Tensor => {
  native.call(($copy_ ||= native.resolve("aten::copy_", "")), self.handle, src.handle, nonBlocking);
  return self;
};

let $zero_ = 0;
/** Sets to zero in place. `zero_(Tensor(a!) self) -> Tensor(a!)` */
export const zero_ = (self: Tensor): Tensor => {
  native.call(($zero_ ||= native.resolve("aten::zero_", "")), self.handle);
  return self;
};

let $fill_ = 0;
/** Sets to one value in place. `fill_.Scalar(Tensor(a!) self, Scalar value) -> Tensor(a!)` */
export const fill_ = (self: Tensor, value: number | boolean): Tensor => {
  native.call(($fill_ ||= native.resolve("aten::fill_", "Scalar")), self.handle, value);
  return self;
};

let $fromFile = 0;
/** A tensor over a memory-mapped file. `from_file(str filename, bool? shared=None, int? size=0, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` */
export const fromFile = (filename: string, shared?: boolean | null, size?: number | null, { dtype, device }: { dtype?: DType | null | undefined; device?: string | null | undefined } = {}): Tensor => {
  return new Tensor(native.call(($fromFile ||= native.resolve("aten::from_file", "")), filename, shared, size, dtype, undefined, device, undefined) as number);
};

let $foreachAdd = 0;
/** self[i] + alpha * other[i]. `_foreach_add.List(Tensor[] self, Tensor[] other, *, Scalar alpha=1) -> Tensor[]` */
export const foreachAdd = (self: readonly Tensor[], other: readonly Tensor[], { alpha }: { alpha?: number | boolean | undefined } = {}): Tensor[] => {
  return (native.call(($foreachAdd ||= native.resolve("aten::_foreach_add", "List")), self.map(handleOf), other.map(handleOf), alpha) as number[]).map(wrap);
};

let $foreachAdd_ = 0;
/** self[i] += alpha * other[i]. `_foreach_add_.List(Tensor(a!)[] self, Tensor[] other, *, Scalar alpha=1) -> ()` */
export const foreachAdd_ = (self: readonly Tensor[], other: readonly Tensor[], { alpha }: { alpha?: number | boolean | undefined } = {}): void => {
  native.call(($foreachAdd_ ||= native.resolve("aten::_foreach_add_", "List")), self.map(handleOf), other.map(handleOf), alpha);
};

let $foreachAddScalar_ = 0;
/** self[i] += number. `_foreach_add_.Scalar(Tensor(a!)[] self, Scalar scalar) -> ()` */
export const foreachAddScalar_ = (self: readonly Tensor[], scalar: number | boolean): void => {
  native.call(($foreachAddScalar_ ||= native.resolve("aten::_foreach_add_", "Scalar")), self.map(handleOf), scalar);
};

let $foreachSub_ = 0;
/** self[i] -= alpha * other[i]. `_foreach_sub_.List(Tensor(a!)[] self, Tensor[] other, *, Scalar alpha=1) -> ()` */
export const foreachSub_ = (self: readonly Tensor[], other: readonly Tensor[], { alpha }: { alpha?: number | boolean | undefined } = {}): void => {
  native.call(($foreachSub_ ||= native.resolve("aten::_foreach_sub_", "List")), self.map(handleOf), other.map(handleOf), alpha);
};

let $foreachMulScalar_ = 0;
/** self[i] *= number. `_foreach_mul_.Scalar(Tensor(a!)[] self, Scalar scalar) -> ()` */
export const foreachMulScalar_ = (self: readonly Tensor[], scalar: number | boolean): void => {
  native.call(($foreachMulScalar_ ||= native.resolve("aten::_foreach_mul_", "Scalar")), self.map(handleOf), scalar);
};

let $foreachMulTensor_ = 0;
/** self[i] *= a tensor of one element. `_foreach_mul_.Tensor(Tensor(a!)[] self, Tensor other) -> ()` */
export const foreachMulTensor_ = (self: readonly Tensor[], other: Tensor): void => {
  native.call(($foreachMulTensor_ ||= native.resolve("aten::_foreach_mul_", "Tensor")), self.map(handleOf), other.handle);
};

let $foreachMul_ = 0;
/** self[i] *= other[i]. `_foreach_mul_.List(Tensor(a!)[] self, Tensor[] other) -> ()` */
export const foreachMul_ = (self: readonly Tensor[], other: readonly Tensor[]): void => {
  native.call(($foreachMul_ ||= native.resolve("aten::_foreach_mul_", "List")), self.map(handleOf), other.map(handleOf));
};

let $foreachDivScalar_ = 0;
/** self[i] /= number. `_foreach_div_.Scalar(Tensor(a!)[] self, Scalar scalar) -> ()` */
export const foreachDivScalar_ = (self: readonly Tensor[], scalar: number | boolean): void => {
  native.call(($foreachDivScalar_ ||= native.resolve("aten::_foreach_div_", "Scalar")), self.map(handleOf), scalar);
};

let $foreachDiv_ = 0;
/** self[i] /= other[i]. `_foreach_div_.List(Tensor(a!)[] self, Tensor[] other) -> ()` */
export const foreachDiv_ = (self: readonly Tensor[], other: readonly Tensor[]): void => {
  native.call(($foreachDiv_ ||= native.resolve("aten::_foreach_div_", "List")), self.map(handleOf), other.map(handleOf));
};

let $foreachLerp_ = 0;
/** self[i] += weight * (other[i] - self[i]). `_foreach_lerp_.Scalar(Tensor(a!)[] self, Tensor[] tensors1, Scalar weight) -> ()` */
export const foreachLerp_ = (self: readonly Tensor[], tensors1: readonly Tensor[], weight: number | boolean): void => {
  native.call(($foreachLerp_ ||= native.resolve("aten::_foreach_lerp_", "Scalar")), self.map(handleOf), tensors1.map(handleOf), weight);
};

let $foreachAddcmul_ = 0;
/** self[i] += value * a[i] * b[i]. `_foreach_addcmul_.Scalar(Tensor(a!)[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar value=1) -> ()` */
export const foreachAddcmul_ = (self: readonly Tensor[], tensor1: readonly Tensor[], tensor2: readonly Tensor[], value?: number | boolean): void => {
  native.call(($foreachAddcmul_ ||= native.resolve("aten::_foreach_addcmul_", "Scalar")), self.map(handleOf), tensor1.map(handleOf), tensor2.map(handleOf), value);
};

let $foreachAddcdiv_ = 0;
/** self[i] += value * a[i] / b[i]. `_foreach_addcdiv_.Scalar(Tensor(a!)[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar value=1) -> ()` */
export const foreachAddcdiv_ = (self: readonly Tensor[], tensor1: readonly Tensor[], tensor2: readonly Tensor[], value?: number | boolean): void => {
  native.call(($foreachAddcdiv_ ||= native.resolve("aten::_foreach_addcdiv_", "Scalar")), self.map(handleOf), tensor1.map(handleOf), tensor2.map(handleOf), value);
};

let $foreachSqrt = 0;
/** Elementwise square roots. `_foreach_sqrt(Tensor[] self) -> Tensor[]` */
export const foreachSqrt = (self: readonly Tensor[]): Tensor[] => {
  return (native.call(($foreachSqrt ||= native.resolve("aten::_foreach_sqrt", "")), self.map(handleOf)) as number[]).map(wrap);
};

let $foreachSqrt_ = 0;
/** Square roots in place. `_foreach_sqrt_(Tensor(a!)[] self) -> ()` */
export const foreachSqrt_ = (self: readonly Tensor[]): void => {
  native.call(($foreachSqrt_ ||= native.resolve("aten::_foreach_sqrt_", "")), self.map(handleOf));
};

let $foreachNorm = 0;
/** Norm of each tensor. `_foreach_norm.Scalar(Tensor[] self, Scalar ord=2, ScalarType? dtype=None) -> Tensor[]` */
export const foreachNorm = (self: readonly Tensor[], ord?: number | boolean, dtype?: DType | null): Tensor[] => {
  return (native.call(($foreachNorm ||= native.resolve("aten::_foreach_norm", "Scalar")), self.map(handleOf), ord, dtype) as number[]).map(wrap);
};

let $foreachZero_ = 0;
/** Sets all to zero. `_foreach_zero_(Tensor(a!)[] self) -> ()` */
export const foreachZero_ = (self: readonly Tensor[]): void => {
  native.call(($foreachZero_ ||= native.resolve("aten::_foreach_zero_", "")), self.map(handleOf));
};

let $foreachCopy_ = 0;
/** Copies src[i] into self[i], converting dtypes. `_foreach_copy_(Tensor(a!)[] self, Tensor[] src, bool non_blocking=False) -> ()` */
export const foreachCopy_ = (self: readonly Tensor[], src: readonly Tensor[], nonBlocking?: boolean): void => {
  native.call(($foreachCopy_ ||= native.resolve("aten::_foreach_copy_", "")), self.map(handleOf), src.map(handleOf), nonBlocking);
};

let $foreachNeg = 0;
/** Elementwise negatives. `_foreach_neg(Tensor[] self) -> Tensor[]` */
export const foreachNeg = (self: readonly Tensor[]): Tensor[] => {
  return (native.call(($foreachNeg ||= native.resolve("aten::_foreach_neg", "")), self.map(handleOf)) as number[]).map(wrap);
};

let $fusedNorm = 0;
/** x / sqrt(mean(x^2) + eps) * weight over the last dimension, in one pass. `mahalo::rms_norm(Tensor x, Tensor weight, float eps) -> Tensor` */
export const fusedNorm = (x: Tensor, weight: Tensor, eps: number): Tensor => {
  return new Tensor(native.call(($fusedNorm ||= native.resolve("mahalo::rms_norm", "")), x.handle, weight.handle, eps) as number);
};

let $fusedSwiglu = 0;
/** silu(gate) * up of the two halves of the columns, in one pass. `mahalo::swiglu(Tensor gate_up) -> Tensor` */
export const fusedSwiglu = (gateUp: Tensor): Tensor => {
  return new Tensor(native.call(($fusedSwiglu ||= native.resolve("mahalo::swiglu", "")), gateUp.handle) as number);
};

let $fusedSplitRotate = 0;
/** Rows of query, key and value heads to rotated queries, rotated keys and values. `mahalo::split_rotate(Tensor qkv, Tensor cosine, Tensor sine, int heads, int kv_heads) -> (Tensor, Tensor, Tensor)` */
export const fusedSplitRotate = (qkv: Tensor, cosine: Tensor, sine: Tensor, heads: number, kvHeads: number): [Tensor, Tensor, Tensor] => {
  const r = native.call(($fusedSplitRotate ||= native.resolve("mahalo::split_rotate", "")), qkv.handle, cosine.handle, sine.handle, heads, kvHeads) as unknown[];
  return [wrap(r[0] as number), wrap(r[1] as number), wrap(r[2] as number)];
};

let $tokenLogProbs = 0;
/** Log-probability of each row's target, and the log-sum-exp of its logits. `mahalo::token_log_probs(Tensor logits, Tensor targets) -> (Tensor, Tensor)` */
export const tokenLogProbs = (logits: Tensor, targets: Tensor): [Tensor, Tensor] => {
  const r = native.call(($tokenLogProbs ||= native.resolve("mahalo::token_log_probs", "")), logits.handle, targets.handle) as unknown[];
  return [wrap(r[0] as number), wrap(r[1] as number)];
};

let $tokenLogProbsDelta_ = 0;
/** Overwrites logits with slope * (onehot(target) - softmax(logits)). `mahalo::token_log_probs_delta_(Tensor(a!) logits, Tensor lse, Tensor targets, Tensor slopes) -> Tensor(a!)` */
export const tokenLogProbsDelta_ = (logits: Tensor, lse: Tensor, targets: Tensor, slopes: Tensor): Tensor => {
  native.call(($tokenLogProbsDelta_ ||= native.resolve("mahalo::token_log_probs_delta_", "")), logits.handle, lse.handle, targets.handle, slopes.handle);
  return logits;
};

let $branchAttention = 0;
/** Attention of packed segments (first query, queries, first prefix key, prefix keys): all prefix keys, then causal. `mahalo::branch_attention(Tensor q, Tensor k, Tensor v, int[] segments) -> Tensor` */
export const branchAttention = (q: Tensor, k: Tensor, v: Tensor, segments: readonly number[]): Tensor => {
  return new Tensor(native.call(($branchAttention ||= native.resolve("mahalo::branch_attention", "")), q.handle, k.handle, v.handle, segments) as number);
};

let $wideLinear = 0;
/** x W^T (+ bias) of bfloat16 rows, computed in float32 and rounded once; with gradients. `mahalo::wide_linear(Tensor x, Tensor weight, Tensor? bias=None) -> Tensor` */
export const wideLinear = (x: Tensor, weight: Tensor, bias?: Tensor | null): Tensor => {
  return new Tensor(native.call(($wideLinear ||= native.resolve("mahalo::wide_linear", "")), x.handle, weight.handle, bias?.handle) as number);
};

let $wideMm = 0;
/** Product of two bfloat16 matrices, computed in float32 and rounded once. `mahalo::wide_mm(Tensor a, Tensor b) -> Tensor` */
export const wideMm = (a: Tensor, b: Tensor): Tensor => {
  return new Tensor(native.call(($wideMm ||= native.resolve("mahalo::wide_mm", "")), a.handle, b.handle) as number);
};

let $fusedRmsprop_ = 0;
/** RMSprop's update of float32 parameters and their running squares, in one pass. `mahalo::rmsprop_(Tensor(a!)[] parameters, Tensor[] gradients, Tensor(b!)[] squares, float rate, float alpha, float eps) -> ()` */
export const fusedRmsprop_ = (parameters: readonly Tensor[], gradients: readonly Tensor[], squares: readonly Tensor[], rate: number, alpha: number, eps: number): void => {
  native.call(($fusedRmsprop_ ||= native.resolve("mahalo::rmsprop_", "")), parameters.map(handleOf), gradients.map(handleOf), squares.map(handleOf), rate, alpha, eps);
};

let $fusedAdamw_ = 0;
/** AdamW's update of float32 parameters and their moments, in one pass; step counts from 1. `mahalo::adamw_(Tensor(a!)[] parameters, Tensor[] gradients, Tensor(b!)[] means, Tensor(c!)[] squares, float rate, float decay, float beta1, float beta2, float eps, int step) -> ()` */
export const fusedAdamw_ = (parameters: readonly Tensor[], gradients: readonly Tensor[], means: readonly Tensor[], squares: readonly Tensor[], rate: number, decay: number, beta1: number, beta2: number, eps: number, step: number): void => {
  native.call(($fusedAdamw_ ||= native.resolve("mahalo::adamw_", "")), parameters.map(handleOf), gradients.map(handleOf), means.map(handleOf), squares.map(handleOf), rate, decay, beta1, beta2, eps, step);
};

let $pagedAttention_ = 0;
/** Writes a pass's keys and values of one layer to pages, and attends all that each row holds. `mahalo::paged_attention_(Tensor(a!)[] slabs, int layer, Tensor q, Tensor k, Tensor v, Tensor plan) -> Tensor` */
export const pagedAttention_ = (slabs: readonly Tensor[], layer: number, q: Tensor, k: Tensor, v: Tensor, plan: Tensor): Tensor => {
  return new Tensor(native.call(($pagedAttention_ ||= native.resolve("mahalo::paged_attention_", "")), slabs.map(handleOf), layer, q.handle, k.handle, v.handle, plan.handle) as number);
};

let $drawTokens = 0;
/** A token of each row of logits under its settings (temperature, k, p, min-p) and its uniform number; -1 without a finite logit. `mahalo::draw_tokens(Tensor logits, Tensor settings, Tensor uniforms) -> Tensor` */
export const drawTokens = (logits: Tensor, settings: Tensor, uniforms: Tensor): Tensor => {
  return new Tensor(native.call(($drawTokens ||= native.resolve("mahalo::draw_tokens", "")), logits.handle, settings.handle, uniforms.handle) as number);
};

let $rowwiseLinear = 0;
/** x W^T (+ bias) in float32, each row by itself; W in float32, bfloat16 or int8 with a scale a row. `mahalo::rowwise_linear(Tensor x, Tensor weight, Tensor? scale=None, Tensor? bias=None) -> Tensor` */
export const rowwiseLinear = (x: Tensor, weight: Tensor, scale?: Tensor | null, bias?: Tensor | null): Tensor => {
  return new Tensor(native.call(($rowwiseLinear ||= native.resolve("mahalo::rowwise_linear", "")), x.handle, weight.handle, scale?.handle, bias?.handle) as number);
};

let $rowwiseFront = 0;
/** A layer up to its attention: norm, query-key-value product, norms of heads, rotation; adapters are A [S, in] and B [out, S], or empty. `mahalo::rowwise_front(Tensor x, Tensor norm, float eps, Tensor qkv, Tensor? scale, Tensor? bias, Tensor? query_norm, Tensor? key_norm, Tensor cosine, Tensor sine, int heads, int kv_heads, Tensor[] adapter, Tensor? gains) -> (Tensor, Tensor, Tensor)` */
export const rowwiseFront = (x: Tensor, norm: Tensor, eps: number, qkv: Tensor, scale: Tensor | null, bias: Tensor | null, queryNorm: Tensor | null, keyNorm: Tensor | null, cosine: Tensor, sine: Tensor, heads: number, kvHeads: number, adapter: readonly Tensor[], gains?: Tensor | null): [Tensor, Tensor, Tensor] => {
  const r = native.call(($rowwiseFront ||= native.resolve("mahalo::rowwise_front", "")), x.handle, norm.handle, eps, qkv.handle, scale?.handle, bias?.handle, queryNorm?.handle, keyNorm?.handle, cosine.handle, sine.handle, heads, kvHeads, adapter.map(handleOf), gains?.handle) as unknown[];
  return [wrap(r[0] as number), wrap(r[1] as number), wrap(r[2] as number)];
};

let $rowwiseBack = 0;
/** A layer after its attention: output product, residual, norm, SwiGLU MLP, residual; adapters as in rowwiseFront. `mahalo::rowwise_back(Tensor x, Tensor attended, Tensor out, Tensor? out_scale, Tensor? out_bias, Tensor norm, float eps, Tensor gate_up, Tensor? gate_up_scale, Tensor down, Tensor? down_scale, Tensor[] out_adapter, Tensor[] gate_up_adapter, Tensor[] down_adapter, Tensor? gains) -> Tensor` */
export const rowwiseBack = (x: Tensor, attended: Tensor, out: Tensor, outScale: Tensor | null, outBias: Tensor | null, norm: Tensor, eps: number, gateUp: Tensor, gateUpScale: Tensor | null, down: Tensor, downScale: Tensor | null, outAdapter: readonly Tensor[], gateUpAdapter: readonly Tensor[], downAdapter: readonly Tensor[], gains?: Tensor | null): Tensor => {
  return new Tensor(native.call(($rowwiseBack ||= native.resolve("mahalo::rowwise_back", "")), x.handle, attended.handle, out.handle, outScale?.handle, outBias?.handle, norm.handle, eps, gateUp.handle, gateUpScale?.handle, down.handle, downScale?.handle, outAdapter.map(handleOf), gateUpAdapter.map(handleOf), downAdapter.map(handleOf), gains?.handle) as number);
};

let $quantizeRows = 0;
/** A weight as int8 with a float32 scale a row: max |w| / 127. `mahalo::quantize_rows(Tensor weight) -> (Tensor, Tensor)` */
export const quantizeRows = (weight: Tensor): [Tensor, Tensor] => {
  const r = native.call(($quantizeRows ||= native.resolve("mahalo::quantize_rows", "")), weight.handle) as unknown[];
  return [wrap(r[0] as number), wrap(r[1] as number)];
};

let $mixedLinear = 0;
/** Logits in float32 of rows that each weigh the heads by themselves: the weighted sum of the heads, rounded as a merged head is, times the row. `mahalo::mixed_linear(Tensor x, Tensor[] heads, Tensor weights, bool halves, bool int8) -> Tensor` */
export const mixedLinear = (x: Tensor, heads: readonly Tensor[], weights: Tensor, halves: boolean, int8: boolean): Tensor => {
  return new Tensor(native.call(($mixedLinear ||= native.resolve("mahalo::mixed_linear", "")), x.handle, heads.map(handleOf), weights.handle, halves, int8) as number);
};
