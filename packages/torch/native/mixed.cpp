// Logits of rows that each have a mix of their own: heads are merged block by block, in cache, and multiplied at once.
//
//   y[r] = W_r x_r,  W_r = round(sum_h weights[r, h] W_h)
//
// The numbers are those of a merged head (sum in float32, in the heads' order, rounded once), bit for bit.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "engine.hpp"
#include "products.hpp"
#include "simd.hpp"

namespace mahalo {
namespace {

using at::Tensor;

/// Weight rows that are merged together.
constexpr int64_t kMixedBlock = 8;

/// The sum is a function by itself (`addRow`), so that no compiler makes one rounding of the two.
template <typename T>
MAHALO_INLINE void scaleInto(const T* from, float weight, float* into, int64_t count) {
  _Pragma("omp simd") for (int64_t i = 0; i < count; ++i) into[i] = widen(from[i]) * weight;
}

/// Blocks of weight rows merged under one row of weights.
class Merger {
 public:
  Merger(at::TensorList heads, at::ScalarType kind, int64_t k)
      : heads_(heads), kind_(kind), k_(k), sum_(kMixedBlock * k), part_(kMixedBlock * k), halves_(kMixedBlock * k), bytes_(kMixedBlock * k), scales_(kMixedBlock) {}

  /// The merged weight rows `from` to `from + count`; valid until the next call.
  Weight merge(const float* weights, bool halves, int64_t from, int64_t count) {
    bool first = true;
    for (size_t h = 0; h < heads_.size(); ++h) {
      if (weights[h] == 0) continue;
      float* into = first ? sum_.data() : part_.data();
      if (heads_[h].scalar_type() == at::kFloat) dispatch<scaleInto<float>>(heads_[h].const_data_ptr<float>() + from * k_, weights[h], into, count * k_);
      else dispatch<scaleInto<c10::BFloat16>>(heads_[h].const_data_ptr<c10::BFloat16>() + from * k_, weights[h], into, count * k_);
      if (!first) dispatch<addRow>(sum_.data(), part_.data(), count * k_);
      first = false;
    }
    if (first) std::fill(sum_.begin(), sum_.end(), 0.0f);
    if (halves) dispatch<toHalves>(sum_.data(), halves_.data(), count * k_);
    if (kind_ == at::kBFloat16) return {kind_, halves_.data(), nullptr, count, k_};
    if (kind_ == at::kFloat) return {kind_, sum_.data(), nullptr, count, k_};
    for (int64_t n = 0; n < count; ++n) {
      // The int8 copy of a merged head is made of its rounded form.
      if (halves) dispatch<toFloats>(halves_.data() + n * k_, sum_.data() + n * k_, k_);
      scales_[n] = quantizeRow(sum_.data() + n * k_, k_, bytes_.data() + n * k_);
    }
    return {kind_, bytes_.data(), scales_.data(), count, k_};
  }

 private:
  at::TensorList heads_;
  at::ScalarType kind_;
  int64_t k_;
  std::vector<float> sum_, part_;
  std::vector<c10::BFloat16> halves_;
  std::vector<int8_t> bytes_;
  std::vector<float> scales_;
};

Tensor mixedLinear(const Tensor& input, at::TensorList heads, const Tensor& weights, bool halves, bool int8) {
  const auto x = input.to(at::kFloat).contiguous();
  const int64_t rows = x.size(0), k = x.size(1);
  TORCH_CHECK(input.dim() == 2 && !heads.empty() && heads[0].dim() == 2, "mixed_linear: rows [R, D] and at least one head [V, D] are needed");
  const int64_t n = heads[0].size(0);
  for (const auto& head : heads) {
    TORCH_CHECK(head.dim() == 2 && head.size(0) == n && head.size(1) == k && head.is_contiguous() && head.is_cpu() &&
                    (head.scalar_type() == at::kFloat || head.scalar_type() == at::kBFloat16),
                "mixed_linear: contiguous heads [", n, ", ", k, "] in float32 or bfloat16 on the CPU are needed");
  }
  TORCH_CHECK(weights.scalar_type() == at::kFloat && weights.is_contiguous() && weights.dim() == 2 && weights.size(0) == rows && weights.size(1) == static_cast<int64_t>(heads.size()),
              "mixed_linear: float32 weights [", rows, ", ", heads.size(), "] are needed");
  const auto kind = int8 ? at::kChar : halves ? at::kBFloat16 : at::kFloat;
  const float* ws = weights.const_data_ptr<float>();
  std::vector<Rows> forms(rows);
  for (int64_t r = 0; r < rows; ++r) prepareRows(x.const_data_ptr<float>() + r * k, 1, k, kind, forms[r]);
  auto y = at::empty({rows, n}, x.options());
  float* into = y.mutable_data_ptr<float>();
  at::parallel_for(0, (n + kMixedBlock - 1) / kMixedBlock, 1, [&](int64_t first, int64_t last) {
    Merger merger(heads, kind, k);
    for (int64_t from = first * kMixedBlock; from < std::min(n, last * kMixedBlock); from += kMixedBlock) {
      const int64_t count = std::min(kMixedBlock, n - from);
      for (int64_t r = 0; r < rows; ++r) {
        multiplyBlock(forms[r], merger.merge(ws + r * heads.size(), halves, from, count), into + r * n + from, n);
      }
    }
  });
  return y;
}

TORCH_LIBRARY_FRAGMENT(mahalo, library) { library.def("mixed_linear(Tensor x, Tensor[] heads, Tensor weights, bool halves, bool int8) -> Tensor"); }
TORCH_LIBRARY_IMPL(mahalo, CPU, library) { library.impl("mixed_linear", mixedLinear); }

}  // namespace
}  // namespace mahalo
