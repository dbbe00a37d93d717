// The linear parts of a transformer's layer for a few rows, without gradients: what one step of decoding computes.
//
// Each operator is a chain of products with what lies between them (norms, biases, rotation, SwiGLU, residual sums) in
// float32 and in cache, so that a layer costs two calls and each of its weights one read.
#include "few-rows.hpp"

#include <torch/library.h>

#include "engine.hpp"

namespace mahalo {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

MAHALO_DOT(float)
MAHALO_DOT(c10::BFloat16)
MAHALO_DOT(int8_t)

MAHALO_CLONES void toHalves(const float* x, c10::BFloat16* y, int64_t count) {
  _Pragma("omp simd") for (int64_t i = 0; i < count; ++i) y[i] = narrow<c10::BFloat16>(x[i]);
}
MAHALO_CLONES void toFloats(const c10::BFloat16* x, float* y, int64_t count) {
  _Pragma("omp simd") for (int64_t i = 0; i < count; ++i) y[i] = widen(x[i]);
}
/// Largest absolute value; NaN where any is no number.
MAHALO_CLONES float largest(const float* x, int64_t count) {
  float top = 0, poison = 0;
  _Pragma("omp simd reduction(max : top) reduction(+ : poison)") for (int64_t i = 0; i < count; ++i) {
    top = std::max(top, std::abs(x[i]));
    poison += x[i] * 0.0f;
  }
  return top + poison;
}
MAHALO_CLONES void toWholes(const float* x, int16_t* y, int64_t count, float inverse) {
  // Adding 1.5 * 2^23 rounds to the nearest whole number, ties to even.
  _Pragma("omp simd") for (int64_t i = 0; i < count; ++i) {
    y[i] = static_cast<int16_t>(static_cast<int32_t>((x[i] * inverse + 12582912.0f) - 12582912.0f));
  }
}
MAHALO_CLONES void scaleRow(float* y, const float* scale, int64_t from, int64_t to, float unit) {
  _Pragma("omp simd") for (int64_t i = from; i < to; ++i) y[i] *= unit * scale[i];
}
MAHALO_CLONES void addRow(float* y, const float* x, int64_t count) {
  _Pragma("omp simd") for (int64_t i = 0; i < count; ++i) y[i] += x[i];
}
MAHALO_CLONES void normRow(const float* x, const float* w, float* y, int64_t width, float eps) {
  float sum = 0;
  _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < width; ++i) sum += x[i] * x[i];
  const float scale = 1.0f / std::sqrt(sum / width + eps);
  _Pragma("omp simd") for (int64_t i = 0; i < width; ++i) y[i] = x[i] * scale * w[i];
}
MAHALO_CLONES void swigluFloats(const float* gate, const float* up, float* y, int64_t width) {
  _Pragma("omp simd") for (int64_t i = 0; i < width; ++i) y[i] = gate[i] / (1.0f + fastExp(-gate[i])) * up[i];
}
MAHALO_CLONES void turnHead(float* x, const float* cosine, const float* sine, int64_t half) {
  _Pragma("omp simd") for (int64_t i = 0; i < half; ++i) {
    const float a = x[i], b = x[i + half];
    x[i] = a * cosine[i] - b * sine[i];
    x[i + half] = b * cosine[i] + a * sine[i];
  }
}

/// Largest whole number of an activation so that no sum of products with weights of 7 bits can leave 32 bits.
float wholeLimit(int64_t k) {
  const int64_t addends = (k + 15) / 16;
  return static_cast<float>(std::min<int64_t>(32767, 2147483647LL / (127 * std::max<int64_t>(1, addends))));
}

/// Contents as floats: the tensor's own memory, or a converted copy.
const float* floatsOf(const Tensor& x, std::vector<float>& copy) {
  if (x.scalar_type() == at::kFloat) return x.const_data_ptr<float>();
  copy.resize(x.numel());
  toFloats(x.const_data_ptr<c10::BFloat16>(), copy.data(), x.numel());
  return copy.data();
}

void writeFloats(const float* from, Tensor& to) {
  if (to.scalar_type() == at::kFloat) std::memcpy(to.mutable_data_ptr<float>(), from, to.numel() * sizeof(float));
  else toHalves(from, to.mutable_data_ptr<c10::BFloat16>(), to.numel());
}

/// Memory that calls use again: allocating it anew costs as much as a small product.
struct Scratch {
  Rows rows;
  std::vector<float> x, norm, wide, between, y, cosine, sine;
};
Scratch& scratch() {
  static thread_local Scratch one;
  return one;
}

void checkRows(const Tensor& x, const char* what) {
  TORCH_CHECK(x.dim() == 2 && x.is_contiguous() && x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16), what,
              ": contiguous rows in float32 or bfloat16 on the CPU are needed");
}

void checkVector(const Tensor& x, int64_t width, const char* what) {
  TORCH_CHECK(x.dim() == 1 && x.numel() == width && x.is_contiguous() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16), what,
              ": a contiguous vector of ", width, " in float32 or bfloat16 is needed");
}

Weight weightOf(const Tensor& w, const OptionalTensor& scale, int64_t k, const char* what) {
  const auto kind = w.scalar_type();
  TORCH_CHECK(w.dim() == 2 && w.size(1) == k && w.is_contiguous() && w.is_cpu(), what, ": a contiguous weight [n, ", k, "] on the CPU is needed");
  TORCH_CHECK(kind == at::kFloat || kind == at::kBFloat16 || kind == at::kChar, what, ": a weight in float32, bfloat16 or int8 is needed");
  TORCH_CHECK((kind == at::kChar) == scale.has_value(), what, ": an int8 weight has a scale for each row, others have none");
  if (scale) {
    TORCH_CHECK(scale->scalar_type() == at::kFloat && scale->dim() == 1 && scale->numel() == w.size(0) && scale->is_contiguous(), what,
                ": float32 scales [", w.size(0), "] are needed");
  }
  return {kind, w.const_data_ptr(), scale ? scale->const_data_ptr<float>() : nullptr, w.size(0), k};
}

void addBias(float* y, int64_t rows, const OptionalTensor& bias, int64_t width, const char* what) {
  if (!bias) return;
  checkVector(*bias, width, what);
  std::vector<float> copy;
  const float* own = floatsOf(*bias, copy);
  for (int64_t r = 0; r < rows; ++r) addRow(y + r * width, own, width);
}

/// Norms of [rows, width], in float32.
const float* normed(const float* x, int64_t rows, int64_t width, const Tensor& weight, double eps, std::vector<float>& into) {
  checkVector(weight, width, "norm");
  std::vector<float> copy;
  const float* w = floatsOf(weight, copy);
  into.resize(rows * width);
  for (int64_t r = 0; r < rows; ++r) normRow(x + r * width, w, into.data() + r * width, width, static_cast<float>(eps));
  return into.data();
}

/// y = x W^T + b, [rows, n] in float32.
void linear(const float* x, int64_t rows, const Weight& weight, Rows& form, std::vector<float>& y) {
  y.resize(rows * weight.n);
  prepareRows(x, rows, weight.k, weight.kind, form);
  multiplyRows(form, weight, y.data());
}

Tensor rowsLinear(const Tensor& input, const Tensor& weight, const OptionalTensor& scale, const OptionalTensor& bias) {
  const auto x = input.contiguous();
  checkRows(x, "few_rows_linear");
  const auto w = weightOf(weight, scale, x.size(1), "few_rows_linear");
  auto y = at::empty({x.size(0), w.n}, x.options().dtype(at::kFloat));
  auto& own = scratch();
  const float* xs = floatsOf(x, own.x);
  prepareRows(xs, x.size(0), w.k, w.kind, own.rows);
  multiplyRows(own.rows, w, y.mutable_data_ptr<float>());
  addBias(y.mutable_data_ptr<float>(), x.size(0), bias, w.n, "few_rows_linear");
  return y;
}

std::tuple<Tensor, Tensor, Tensor> layerFront(const Tensor& input, const Tensor& norm, double eps, const Tensor& qkv, const OptionalTensor& scale,
                                              const OptionalTensor& bias, const OptionalTensor& queryNorm, const OptionalTensor& keyNorm,
                                              const Tensor& cosine, const Tensor& sine, int64_t heads, int64_t kvHeads) {
  const auto x = input.contiguous();
  checkRows(x, "few_rows_front");
  const int64_t rows = x.size(0), width = x.size(1), e = cosine.size(-1);
  const auto w = weightOf(qkv, scale, width, "few_rows_front");
  TORCH_CHECK(heads > 0 && kvHeads > 0 && e > 0 && e % 2 == 0 && w.n == (heads + 2 * kvHeads) * e, "few_rows_front: the rows of qkv must be heads + 2 kvHeads heads of an even width");
  TORCH_CHECK(cosine.dim() == 2 && cosine.size(0) == rows && cosine.sizes() == sine.sizes() && cosine.scalar_type() == x.scalar_type() && sine.scalar_type() == x.scalar_type() &&
                  cosine.is_contiguous() && sine.is_contiguous(),
              "few_rows_front: contiguous rotations [T, E] in the dtype of the rows are needed");
  auto& own = scratch();
  const float* ns = normed(floatsOf(x, own.x), rows, width, norm, eps, own.norm);
  linear(ns, rows, w, own.rows, own.wide);
  addBias(own.wide.data(), rows, bias, w.n, "few_rows_front");
  const float *cs = floatsOf(cosine, own.cosine), *ss = floatsOf(sine, own.sine);
  std::vector<float> queryCopy, keyCopy;
  const float *qn = nullptr, *kn = nullptr;
  if (queryNorm) checkVector(*queryNorm, e, "few_rows_front: query norm"), qn = floatsOf(*queryNorm, queryCopy);
  if (keyNorm) checkVector(*keyNorm, e, "few_rows_front: key norm"), kn = floatsOf(*keyNorm, keyCopy);
  auto q = at::empty({rows, heads, e}, x.options()), k = at::empty({rows, kvHeads, e}, x.options()), v = at::empty({rows, kvHeads, e}, x.options());
  for (int64_t r = 0; r < rows; ++r) {
    float* row = own.wide.data() + r * w.n;
    for (int64_t h = 0; h < heads + kvHeads; ++h) {
      float* head = row + h * e;
      const float* n = h < heads ? qn : kn;
      if (n) normRow(head, n, head, e, static_cast<float>(eps));
      turnHead(head, cs + r * e, ss + r * e, e / 2);
    }
    auto qr = q.select(0, r), kr = k.select(0, r), vr = v.select(0, r);
    writeFloats(row, qr);
    writeFloats(row + heads * e, kr);
    writeFloats(row + (heads + kvHeads) * e, vr);
  }
  return {q, k, v};
}

Tensor layerBack(const Tensor& input, const Tensor& attention, const Tensor& out, const OptionalTensor& outScale, const OptionalTensor& outBias, const Tensor& norm, double eps,
                 const Tensor& gateUp, const OptionalTensor& gateUpScale, const Tensor& down, const OptionalTensor& downScale) {
  const auto x = input.contiguous();
  checkRows(x, "few_rows_back");
  const int64_t rows = x.size(0), width = x.size(1);
  TORCH_CHECK(attention.dim() > 1 && attention.size(0) == rows, "few_rows_back: as many rows of attention as of the layer's input are needed");
  const auto attended = attention.contiguous().view({rows, out.size(-1)});
  checkRows(attended, "few_rows_back");
  const auto o = weightOf(out, outScale, attended.size(1), "few_rows_back: out");
  const auto g = weightOf(gateUp, gateUpScale, width, "few_rows_back: gate and up");
  TORCH_CHECK(g.n % 2 == 0 && o.n == width, "few_rows_back: out must give rows of the input's width, gate and up be equally wide");
  const auto d = weightOf(down, downScale, g.n / 2, "few_rows_back: down");
  TORCH_CHECK(d.n == width, "few_rows_back: down must give rows of the input's width");
  auto& own = scratch();
  // The residual stream, in float32 until the layer's end.
  linear(floatsOf(attended, own.x), rows, o, own.rows, own.y);
  addBias(own.y.data(), rows, outBias, width, "few_rows_back");
  addRow(own.y.data(), floatsOf(x, own.x), rows * width);
  linear(normed(own.y.data(), rows, width, norm, eps, own.norm), rows, g, own.rows, own.wide);
  own.between.resize(rows * d.k);
  at::parallel_for(0, rows, std::max<int64_t>(1, 8192 / std::max<int64_t>(1, d.k)), [&](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; ++r) {
      const float* gate = own.wide.data() + r * g.n;
      swigluFloats(gate, gate + d.k, own.between.data() + r * d.k, d.k);
    }
  });
  linear(own.between.data(), rows, d, own.rows, own.norm);
  addRow(own.y.data(), own.norm.data(), rows * width);
  auto y = at::empty_like(x);
  writeFloats(own.y.data(), y);
  return y;
}

/// Symmetric int8 with one scale a row: scale = max |w| / 127, q = round(w / scale).
std::tuple<Tensor, Tensor> quantizeRows(const Tensor& weight) {
  checkRows(weight, "quantize_rows");
  const int64_t n = weight.size(0), k = weight.size(1);
  auto q = at::empty({n, k}, weight.options().dtype(at::kChar));
  auto scale = at::empty({n}, weight.options().dtype(at::kFloat));
  auto* qs = q.mutable_data_ptr<int8_t>();
  auto* scales = scale.mutable_data_ptr<float>();
  at::parallel_for(0, n, std::max<int64_t>(1, 65536 / std::max<int64_t>(1, k)), [&](int64_t from, int64_t to) {
    std::vector<float> copy;
    std::vector<int16_t> wholes(k);
    for (int64_t row = from; row < to; ++row) {
      const float* w = floatsOf(weight.select(0, row), copy);
      const float top = largest(w, k);
      scales[row] = top / 127.0f;
      toWholes(w, wholes.data(), k, top > 0 ? 127.0f / top : 0.0f);
      for (int64_t i = 0; i < k; ++i) qs[row * k + i] = static_cast<int8_t>(wholes[i]);
    }
  });
  return {q, scale};
}

template <typename W>
void plainColumns(const Rows& rows, const Weight& weight, int64_t from, int64_t to, float* y) {
  const auto* w = static_cast<const W*>(weight.data);
  for (int64_t n = from; n < to; ++n) {
    for (int64_t r = 0; r < rows.count; ++r) y[r * weight.n + n] = dotPlain(rows.floats.data() + r * rows.k, w + n * rows.k, rows.k);
  }
}

}  // namespace

void prepareRows(const float* x, int64_t count, int64_t k, at::ScalarType kind, Rows& rows) {
  rows.count = count;
  rows.k = k;
  if (!hasWideTiles() || kind == at::kFloat) {
    rows.floats.assign(x, x + count * k);
    rows.unit.assign(count, 1.0f);
  } else if (kind == at::kBFloat16) {
    rows.halves.resize(count * k);
    toHalves(x, rows.halves.data(), count * k);
  } else {
    rows.wholes.resize(count * k);
    rows.unit.resize(count);
    for (int64_t r = 0; r < count; ++r) {
      const float top = largest(x + r * k, k), limit = wholeLimit(k);
      rows.unit[r] = top / limit;
      // What is no number must not become one.
      const bool finite = std::isfinite(top);
      if (!finite) rows.unit[r] = std::numeric_limits<float>::quiet_NaN();
      toWholes(x + r * k, rows.wholes.data() + r * k, k, finite && top > 0 ? limit / top : 0.0f);
    }
  }
}

void multiplyRows(const Rows& rows, const Weight& weight, float* y) {
  if (rows.count == 0) return;
  constexpr int64_t kBlock = 4;
  const int64_t blocks = (weight.n + kBlock - 1) / kBlock;
  const int64_t grain = std::max<int64_t>(1, 65536 / std::max<int64_t>(1, kBlock * weight.k));
  at::parallel_for(0, blocks, grain, [&](int64_t first, int64_t last) {
    const int64_t from = first * kBlock, to = std::min(weight.n, last * kBlock);
#if MAHALO_WIDE
    if (hasWideTiles()) {
      if (weight.kind == at::kFloat) wideColumns<WideFloat>(rows.floats.data(), rows.count, weight, from, to, y);
      else if (weight.kind == at::kBFloat16) wideColumns<WideHalf>(rows.halves.data(), rows.count, weight, from, to, y);
      else wideColumns<WideByte>(rows.wholes.data(), rows.count, weight, from, to, y);
    } else
#endif
    {
      if (weight.kind == at::kFloat) plainColumns<float>(rows, weight, from, to, y);
      else if (weight.kind == at::kBFloat16) plainColumns<c10::BFloat16>(rows, weight, from, to, y);
      else plainColumns<int8_t>(rows, weight, from, to, y);
    }
    if (weight.kind != at::kChar) return;
    for (int64_t r = 0; r < rows.count; ++r) scaleRow(y + r * weight.n, weight.scale, from, to, rows.unit[r]);
  });
}

namespace {

TORCH_LIBRARY_FRAGMENT(mahalo, library) {
  library.def("few_rows_linear(Tensor x, Tensor weight, Tensor? scale=None, Tensor? bias=None) -> Tensor");
  library.def(
      "few_rows_front(Tensor x, Tensor norm, float eps, Tensor qkv, Tensor? scale, Tensor? bias, Tensor? query_norm, Tensor? key_norm, Tensor cosine, Tensor sine, int heads, int kv_heads) -> (Tensor, "
      "Tensor, Tensor)");
  library.def(
      "few_rows_back(Tensor x, Tensor attended, Tensor out, Tensor? out_scale, Tensor? out_bias, Tensor norm, float eps, Tensor gate_up, Tensor? gate_up_scale, Tensor down, Tensor? down_scale) -> "
      "Tensor");
  library.def("quantize_rows(Tensor weight) -> (Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(mahalo, CPU, library) {
  library.impl("few_rows_linear", rowsLinear);
  library.impl("few_rows_front", layerFront);
  library.impl("few_rows_back", layerBack);
  library.impl("quantize_rows", quantizeRows);
}

}  // namespace
}  // namespace mahalo
