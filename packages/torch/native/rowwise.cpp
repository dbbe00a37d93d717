// The linear parts of a transformer's layer, row by row and without gradients: what decoding computes.
//
// Each operator is a chain of products with what lies between them (norms, biases, rotation, SwiGLU, residual sums) in
// float32 and in cache, so that a layer costs two calls and each of its weights one read. A row's result depends on that row
// alone, bit for bit; see products.hpp.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "engine.hpp"
#include "products.hpp"
#include "simd.hpp"

namespace mahalo {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using TensorList = at::TensorList;

MAHALO_INLINE void normRow(const float* x, const float* w, float* y, int64_t width, float eps) {
  float sum = 0;
  _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < width; ++i) sum += x[i] * x[i];
  const float scale = 1.0f / std::sqrt(sum / width + eps);
  _Pragma("omp simd") for (int64_t i = 0; i < width; ++i) y[i] = x[i] * scale * w[i];
}

MAHALO_INLINE void swigluFloats(const float* gate, const float* up, float* y, int64_t width) {
  _Pragma("omp simd") for (int64_t i = 0; i < width; ++i) y[i] = gate[i] / (1.0f + fastExp(-gate[i])) * up[i];
}

MAHALO_INLINE void turnHead(float* x, const float* cosine, const float* sine, int64_t half) {
  _Pragma("omp simd") for (int64_t i = 0; i < half; ++i) {
    const float a = x[i], b = x[i + half];
    x[i] = a * cosine[i] - b * sine[i];
    x[i + half] = b * cosine[i] + a * sine[i];
  }
}

/// Contents as floats: the tensor's own memory, or a converted copy.
const float* floatsOf(const Tensor& x, Aligned<float>& copy) {
  if (x.scalar_type() == at::kFloat) return x.const_data_ptr<float>();
  copy.resize(x.numel());
  dispatch<toFloats>(x.const_data_ptr<c10::BFloat16>(), copy.data(), x.numel());
  return copy.data();
}

/// Writes `count` floats into a tensor from element `place` on, in its dtype.
void writeFloats(const float* from, const Tensor& to, int64_t place, int64_t count) {
  if (to.scalar_type() == at::kFloat) std::memcpy(to.mutable_data_ptr<float>() + place, from, count * sizeof(float));
  else dispatch<toHalves>(from, to.mutable_data_ptr<c10::BFloat16>() + place, count);
}

/// Memory that calls use again: allocating it anew costs as much as a small product.
struct Scratch {
  Rows rows;
  Aligned<float> x, norm, wide, between, y, cosine, sine, low, update;
};

Scratch& scratch() {
  static thread_local Scratch own;
  return own;
}

/// Rows that are computed together: what lies between a layer's products stays in the cache.
constexpr int64_t kChunk = 192;

/// Calls body(first row, rows) for chunks of rows.
template <typename Body>
void eachChunk(int64_t rows, Body body) {
  for (int64_t first = 0; first < rows; first += kChunk) body(first, std::min(kChunk, rows - first));
}

/// Calls body(row) for every row, among threads where there is enough to do.
template <typename Body>
void eachRow(int64_t rows, int64_t width, Body body) {
  at::parallel_for(0, rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width)), [&](int64_t from, int64_t to) {
    for (int64_t row = from; row < to; ++row) body(row);
  });
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

/// Adds a bias to every row.
void addBias(float* y, int64_t rows, const OptionalTensor& bias, int64_t width, const char* what) {
  if (!bias) return;
  checkVector(*bias, width, what);
  Aligned<float> copy;
  const float* own = floatsOf(*bias, copy);
  eachRow(rows, width, [&](int64_t r) { dispatch<addRow>(y + r * width, own, width); });
}

/// y += x, both [rows, width].
void addRows(float* y, const float* x, int64_t rows, int64_t width) {
  eachRow(rows, width, [&](int64_t r) { dispatch<addRow>(y + r * width, x + r * width, width); });
}

/// Norms of [rows, width], in float32.
const float* normed(const float* x, int64_t rows, int64_t width, const float* weight, double eps, Aligned<float>& into) {
  into.resize(rows * width);
  eachRow(rows, width, [&](int64_t r) { dispatch<normRow>(x + r * width, weight, into.data() + r * width, width, static_cast<float>(eps)); });
  return into.data();
}

/// y = x W^T, [rows, n] in float32.
float* rowProducts(const float* x, int64_t rows, const Weight& weight, Rows& form, Aligned<float>& y) {
  y.resize(rows * weight.n);
  prepareRows(x, rows, weight.k, weight.kind, form);
  multiplyRows(form, weight, y.data());
  return y.data();
}

/// The low-rank update of a linear map: y += ((x A^T) * gains) B^T; none where it has no matrices.
struct LowRank {
  Weight a, b;
  const float* gains = nullptr;
  explicit operator bool() const { return gains != nullptr; }
};

LowRank lowRankOf(TensorList matrices, const OptionalTensor& gains, int64_t rows, const Weight& weight, const char* what) {
  if (matrices.empty()) return {};
  TORCH_CHECK(matrices.size() == 2 && gains, what, ": an adapter is two matrices and gains");
  const auto a = weightOf(matrices[0], std::nullopt, weight.k, what), b = weightOf(matrices[1], std::nullopt, a.n, what);
  TORCH_CHECK(b.n == weight.n, what, ": an adapter gives ", weight.n, " values, not ", b.n);
  TORCH_CHECK(gains->scalar_type() == at::kFloat && gains->dim() == 2 && gains->size(0) == rows && gains->size(1) == a.n && gains->is_contiguous() && gains->is_cpu(), what,
              ": contiguous float32 gains [", rows, ", ", a.n, "] on the CPU are needed");
  return {a, b, gains->const_data_ptr<float>()};
}

/// Adds the update of rows `first` on to y [rows, n], which holds x W^T.
void addLowRank(const LowRank& low, const float* x, int64_t first, int64_t rows, float* y, Scratch& own) {
  if (!low) return;
  float* inner = rowProducts(x, rows, low.a, own.rows, own.low);
  const float* gains = low.gains + first * low.a.n;
  for (int64_t i = 0; i < rows * low.a.n; ++i) inner[i] *= gains[i];
  addRows(y, rowProducts(inner, rows, low.b, own.rows, own.update), rows, low.b.n);
}

Tensor rowsLinear(const Tensor& input, const Tensor& weight, const OptionalTensor& scale, const OptionalTensor& bias) {
  const auto x = input.contiguous();
  checkRows(x, "rowwise_linear");
  const auto w = weightOf(weight, scale, x.size(1), "rowwise_linear");
  auto y = at::empty({x.size(0), w.n}, x.options().dtype(at::kFloat));
  auto& own = scratch();
  eachChunk(x.size(0), [&](int64_t first, int64_t rows) {
    float* into = y.mutable_data_ptr<float>() + first * w.n;
    prepareRows(floatsOf(x.narrow(0, first, rows), own.x), rows, w.k, w.kind, own.rows);
    multiplyRows(own.rows, w, into);
    addBias(into, rows, bias, w.n, "rowwise_linear");
  });
  return y;
}

std::tuple<Tensor, Tensor, Tensor> layerFront(const Tensor& input, const Tensor& norm, double eps, const Tensor& qkv, const OptionalTensor& scale,
                                              const OptionalTensor& bias, const OptionalTensor& queryNorm, const OptionalTensor& keyNorm,
                                              const Tensor& cosine, const Tensor& sine, int64_t heads, int64_t kvHeads, TensorList adapter, const OptionalTensor& gains) {
  const auto x = input.contiguous();
  checkRows(x, "rowwise_front");
  const int64_t total = x.size(0), width = x.size(1), e = cosine.size(-1);
  const auto w = weightOf(qkv, scale, width, "rowwise_front");
  TORCH_CHECK(heads > 0 && kvHeads > 0 && e > 0 && e % 2 == 0 && w.n == (heads + 2 * kvHeads) * e, "rowwise_front: the rows of qkv must be heads + 2 kvHeads heads of an even width");
  TORCH_CHECK(cosine.dim() == 2 && cosine.size(0) == total && cosine.sizes() == sine.sizes() && cosine.scalar_type() == x.scalar_type() && sine.scalar_type() == x.scalar_type() &&
                  cosine.is_contiguous() && sine.is_contiguous(),
              "rowwise_front: contiguous rotations [T, E] in the dtype of the rows are needed");
  const auto low = lowRankOf(adapter, gains, total, w, "rowwise_front: adapter");
  checkVector(norm, width, "norm");
  Aligned<float> normCopy, queryCopy, keyCopy;
  const float* weights = floatsOf(norm, normCopy);
  const float *qn = nullptr, *kn = nullptr;
  if (queryNorm) checkVector(*queryNorm, e, "rowwise_front: query norm"), qn = floatsOf(*queryNorm, queryCopy);
  if (keyNorm) checkVector(*keyNorm, e, "rowwise_front: key norm"), kn = floatsOf(*keyNorm, keyCopy);
  auto q = at::empty({total, heads, e}, x.options()), k = at::empty({total, kvHeads, e}, x.options()), v = at::empty({total, kvHeads, e}, x.options());
  auto& own = scratch();
  const float *cs = floatsOf(cosine, own.cosine), *ss = floatsOf(sine, own.sine);
  eachChunk(total, [&](int64_t first, int64_t rows) {
    const float* ns = normed(floatsOf(x.narrow(0, first, rows), own.x), rows, width, weights, eps, own.norm);
    float* wide = rowProducts(ns, rows, w, own.rows, own.wide);
    addLowRank(low, ns, first, rows, wide, own);
    addBias(wide, rows, bias, w.n, "rowwise_front");
    eachRow(rows, w.n, [&](int64_t r) {
      float* row = wide + r * w.n;
      const int64_t at = first + r;
      for (int64_t h = 0; h < heads + kvHeads; ++h) {
        float* head = row + h * e;
        const float* n = h < heads ? qn : kn;
        if (n) dispatch<normRow>(head, n, head, e, static_cast<float>(eps));
        dispatch<turnHead>(head, cs + at * e, ss + at * e, e / 2);
      }
      writeFloats(row, q, at * heads * e, heads * e);
      writeFloats(row + heads * e, k, at * kvHeads * e, kvHeads * e);
      writeFloats(row + (heads + kvHeads) * e, v, at * kvHeads * e, kvHeads * e);
    });
  });
  return {q, k, v};
}

Tensor layerBack(const Tensor& input, const Tensor& attention, const Tensor& out, const OptionalTensor& outScale, const OptionalTensor& outBias, const Tensor& norm, double eps,
                 const Tensor& gateUp, const OptionalTensor& gateUpScale, const Tensor& down, const OptionalTensor& downScale, TensorList outAdapter, TensorList gateUpAdapter,
                 TensorList downAdapter, const OptionalTensor& gains) {
  const auto x = input.contiguous();
  checkRows(x, "rowwise_back");
  const int64_t total = x.size(0), width = x.size(1);
  TORCH_CHECK(attention.dim() > 1 && attention.size(0) == total, "rowwise_back: as many rows of attention as of the layer's input are needed");
  const auto attended = attention.contiguous().view({total, out.size(-1)});
  checkRows(attended, "rowwise_back");
  const auto o = weightOf(out, outScale, attended.size(1), "rowwise_back: out");
  const auto g = weightOf(gateUp, gateUpScale, width, "rowwise_back: gate and up");
  TORCH_CHECK(g.n % 2 == 0 && o.n == width, "rowwise_back: out must give rows of the input's width, gate and up be equally wide");
  const auto d = weightOf(down, downScale, g.n / 2, "rowwise_back: down");
  TORCH_CHECK(d.n == width, "rowwise_back: down must give rows of the input's width");
  const auto lowOut = lowRankOf(outAdapter, gains, total, o, "rowwise_back: adapter of out");
  const auto lowGateUp = lowRankOf(gateUpAdapter, gains, total, g, "rowwise_back: adapter of gate and up");
  const auto lowDown = lowRankOf(downAdapter, gains, total, d, "rowwise_back: adapter of down");
  checkVector(norm, width, "norm");
  Aligned<float> normCopy;
  const float* weights = floatsOf(norm, normCopy);
  auto y = at::empty_like(x);
  auto& own = scratch();
  eachChunk(total, [&](int64_t first, int64_t rows) {
    // The residual stream, in float32 until the layer's end.
    const float* os = floatsOf(attended.narrow(0, first, rows), own.x);
    float* stream = rowProducts(os, rows, o, own.rows, own.y);
    addLowRank(lowOut, os, first, rows, stream, own);
    addBias(stream, rows, outBias, width, "rowwise_back");
    addRows(stream, floatsOf(x.narrow(0, first, rows), own.x), rows, width);
    const float* ns = normed(stream, rows, width, weights, eps, own.norm);
    float* wide = rowProducts(ns, rows, g, own.rows, own.wide);
    addLowRank(lowGateUp, ns, first, rows, wide, own);
    own.between.resize(rows * d.k);
    eachRow(rows, d.k, [&](int64_t r) {
      const float* gate = wide + r * g.n;
      dispatch<swigluFloats>(gate, gate + d.k, own.between.data() + r * d.k, d.k);
    });
    addRows(stream, rowProducts(own.between.data(), rows, d, own.rows, own.norm), rows, width);
    addLowRank(lowDown, own.between.data(), first, rows, stream, own);
    eachRow(rows, width, [&](int64_t r) { writeFloats(stream + r * width, y, (first + r) * width, width); });
  });
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
    Aligned<float> copy;
    for (int64_t row = from; row < to; ++row) scales[row] = quantizeRow(floatsOf(weight.select(0, row), copy), k, qs + row * k);
  });
  return {q, scale};
}

TORCH_LIBRARY_FRAGMENT(mahalo, library) {
  library.def("rowwise_linear(Tensor x, Tensor weight, Tensor? scale=None, Tensor? bias=None) -> Tensor");
  library.def(
      "rowwise_front(Tensor x, Tensor norm, float eps, Tensor qkv, Tensor? scale, Tensor? bias, Tensor? query_norm, Tensor? key_norm, Tensor cosine, Tensor sine, int heads, int kv_heads, Tensor[] adapter, Tensor? gains) -> (Tensor, "
      "Tensor, Tensor)");
  library.def(
      "rowwise_back(Tensor x, Tensor attended, Tensor out, Tensor? out_scale, Tensor? out_bias, Tensor norm, float eps, Tensor gate_up, Tensor? gate_up_scale, Tensor down, Tensor? down_scale, Tensor[] out_adapter, Tensor[] "
      "gate_up_adapter, Tensor[] down_adapter, Tensor? gains) -> "
      "Tensor");
  library.def("quantize_rows(Tensor weight) -> (Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(mahalo, CPU, library) {
  library.impl("rowwise_linear", rowsLinear);
  library.impl("rowwise_front", layerFront);
  library.impl("rowwise_back", layerBack);
  library.impl("quantize_rows", quantizeRows);
}

}  // namespace
}  // namespace mahalo
