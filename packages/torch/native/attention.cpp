// Attention over packed branches for the CPU: matrix products by libtorch, mask and softmax fused in between.
//
// A segment is (first query, queries N, first prefix key, prefix keys P): its queries see all P prefix keys and then,
// causally, the segment's own keys. Segments cover all tokens in order. With R = heads / kvHeads, M = P + N and everything in layout [kvHeads, ., .]:
//
//   S = scale Q K^T,  W = softmax(S over the keys seen),  O = W V
//   dV = W^T dO,  dS = scale W (dO V^T - rowsum(W (dO V^T))),  dQ = dS K,  dK = dS^T Q
//
// W is kept for the way back, so memory grows with N M; long segments belong to scaled_dot_product_attention.
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "engine.hpp"
#include "simd.hpp"
#include "softmax.hpp"
#include "wide.hpp"

namespace mahalo {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Segment {
  int64_t start, count, prefixStart, prefix;
  int64_t keys() const { return prefix + count; }
};

std::vector<Segment> readSegments(at::IntArrayRef flat, int64_t tokens) {
  TORCH_CHECK(flat.size() % 4 == 0, "branch_attention: segments are quadruples");
  std::vector<Segment> segments;
  int64_t covered = 0;
  for (size_t i = 0; i < flat.size(); i += 4) {
    const Segment one{flat[i], flat[i + 1], flat[i + 2], flat[i + 3]};
    TORCH_CHECK(one.start >= 0 && one.count > 0 && one.start + one.count <= tokens && one.prefixStart >= 0 &&
                    one.prefix >= 0 && one.prefixStart + one.prefix <= tokens,
                "branch_attention: segment ", i / 4, " lies outside of ", tokens, " tokens");
    // What no segment covers would never be written, and what two cover would get the gradient of both.
    TORCH_CHECK(one.start == covered, "branch_attention: segment ", i / 4, " starts at ", one.start, ", the ones before end at ", covered);
    TORCH_CHECK(one.prefix == 0 || one.prefixStart + one.prefix <= one.start, "branch_attention: the prefix of segment ", i / 4, " does not lie before it");
    covered += one.count;
    segments.push_back(one);
  }
  TORCH_CHECK(covered == tokens, "branch_attention: segments cover ", covered, " of ", tokens, " tokens");
  return segments;
}

/// Queries [T, H, E] of a segment as [G, R N, E].
Tensor gatherQueries(const Tensor& x, const Segment& segment, int64_t groups) {
  const int64_t width = x.size(2), share = x.size(1) / groups;
  return x.narrow(0, segment.start, segment.count)
      .view({segment.count, groups, share, width})
      .permute({1, 2, 0, 3})
      .reshape({groups, share * segment.count, width});
}

/// Back into rows of [T, H, E].
void scatterQueries(const Tensor& from, Tensor& into, const Segment& segment, int64_t groups) {
  const int64_t width = into.size(2), share = into.size(1) / groups;
  into.narrow(0, segment.start, segment.count)
      .view({segment.count, groups, share, width})
      .copy_(from.view({groups, share, segment.count, width}).permute({2, 0, 1, 3}));
}

/// Keys or values [T, G, E] that a segment sees, as [G, M, E].
Tensor gatherKeys(const Tensor& x, const Segment& segment) {
  const auto own = x.narrow(0, segment.start, segment.count);
  const auto seen = segment.prefix > 0 ? at::cat({x.narrow(0, segment.prefixStart, segment.prefix), own}) : own;
  return seen.permute({1, 0, 2}).contiguous();
}

void addKeys(const Tensor& from, Tensor& into, const Segment& segment) {
  const auto rows = from.permute({1, 0, 2});
  if (segment.prefix > 0) into.narrow(0, segment.prefixStart, segment.prefix).add_(rows.narrow(0, 0, segment.prefix));
  into.narrow(0, segment.start, segment.count).add_(rows.narrow(0, segment.prefix, segment.count));
}

/// dS from dP, in place: scale W (dP - sum(W dP)).
template <typename T>
MAHALO_INLINE void softmaxBackwardRow(T* d, const T* w, int64_t seen, int64_t width, float scale) {
  float sum = 0;
  _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < seen; ++i) sum += widen(w[i]) * widen(d[i]);
  _Pragma("omp simd") for (int64_t i = 0; i < seen; ++i) d[i] = narrow<T>(scale * widen(w[i]) * (widen(d[i]) - sum));
  for (int64_t i = seen; i < width; ++i) d[i] = narrow<T>(0.0f);
}

/// Runs `row(pointer offset, keys seen)` on every row of [G, R N, M].
template <typename Row>
void eachRow(const Tensor& scores, const Segment& segment, Row row) {
  const int64_t rows = scores.size(0) * scores.size(1), width = scores.size(2);
  at::parallel_for(0, rows, std::max<int64_t>(1, 32768 / width), [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) row(i * width, segment.prefix + i % segment.count + 1, width);
  });
}

void softmax_(Tensor& scores, const Segment& segment, float scale) {
  if (scores.scalar_type() == at::kFloat) {
    float* data = scores.mutable_data_ptr<float>();
    eachRow(scores, segment, [&](int64_t at, int64_t seen, int64_t width) { dispatch<softmaxRow<float>>(data + at, seen, width, scale); });
  } else {
    auto* data = scores.mutable_data_ptr<c10::BFloat16>();
    eachRow(scores, segment, [&](int64_t at, int64_t seen, int64_t width) { dispatch<softmaxRow<c10::BFloat16>>(data + at, seen, width, scale); });
  }
}

void softmaxBackward_(Tensor& gradient, const Tensor& weights, const Segment& segment, float scale) {
  if (gradient.scalar_type() == at::kFloat) {
    float* d = gradient.mutable_data_ptr<float>();
    const float* w = weights.const_data_ptr<float>();
    eachRow(gradient, segment, [&](int64_t at, int64_t seen, int64_t width) { dispatch<softmaxBackwardRow<float>>(d + at, w + at, seen, width, scale); });
  } else {
    auto* d = gradient.mutable_data_ptr<c10::BFloat16>();
    const auto* w = weights.const_data_ptr<c10::BFloat16>();
    eachRow(gradient, segment, [&](int64_t at, int64_t seen, int64_t width) { dispatch<softmaxBackwardRow<c10::BFloat16>>(d + at, w + at, seen, width, scale); });
  }
}

void checkQueries(const Tensor& q, const Tensor& k, const Tensor& v) {
  TORCH_CHECK(q.dim() == 3 && k.dim() == 3 && k.sizes() == v.sizes() && q.size(0) == k.size(0) && q.size(2) == k.size(2) &&
                  k.size(1) > 0 && q.size(1) % k.size(1) == 0,
              "branch_attention: q [T, H, E], k and v [T, G, E] with G dividing H are needed");
  TORCH_CHECK((q.scalar_type() == at::kFloat || q.scalar_type() == at::kBFloat16) && q.scalar_type() == k.scalar_type() &&
                  q.scalar_type() == v.scalar_type(),
              "branch_attention: float32 or bfloat16 is needed, the same for all");
}

/// Output, and the attention weights of each segment.
std::pair<Tensor, std::vector<Tensor>> attend(const Tensor& q, const Tensor& k, const Tensor& v, const std::vector<Segment>& segments) {
  const int64_t groups = k.size(1);
  const float scale = 1.0f / std::sqrt(static_cast<float>(q.size(2)));
  auto output = at::empty_like(q);
  std::vector<Tensor> weights;
  for (const auto& segment : segments) {
    auto scores = product(gatherQueries(q, segment, groups), gatherKeys(k, segment).transpose(1, 2));
    softmax_(scores, segment, scale);
    scatterQueries(product(scores, gatherKeys(v, segment)), output, segment, groups);
    weights.push_back(std::move(scores));
  }
  return {output, weights};
}

struct BranchAttention : torch::autograd::Function<BranchAttention> {
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v, at::IntArrayRef flat) {
    auto [output, weights] = attend(q, k, v, readSegments(flat, q.size(0)));
    context->saved_data["segments"] = flat.vec();
    variable_list saved{q, k, v};
    saved.insert(saved.end(), weights.begin(), weights.end());
    context->save_for_backward(saved);
    return output;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &q = saved[0], &k = saved[1], &v = saved[2];
    const auto gradient = gradients[0].contiguous();
    const auto segments = readSegments(context->saved_data["segments"].toIntVector(), q.size(0));
    const int64_t groups = k.size(1);
    const float scale = 1.0f / std::sqrt(static_cast<float>(q.size(2)));
    auto dq = at::empty_like(q), dk = at::zeros_like(k), dv = at::zeros_like(v);
    for (size_t i = 0; i < segments.size(); ++i) {
      const auto& segment = segments[i];
      const auto& weights = saved[3 + i];
      const auto dO = gatherQueries(gradient, segment, groups);
      addKeys(product(weights.transpose(1, 2), dO), dv, segment);
      auto dS = product(dO, gatherKeys(v, segment).transpose(1, 2));
      softmaxBackward_(dS, weights, segment, scale);
      scatterQueries(product(dS, gatherKeys(k, segment)), dq, segment, groups);
      addKeys(product(dS.transpose(1, 2), gatherQueries(q, segment, groups)), dk, segment);
    }
    return {dq, dk, dv, Tensor()};
  }
};

Tensor forwardOnly(const Tensor& q, const Tensor& k, const Tensor& v, at::IntArrayRef segments) {
  checkQueries(q, k, v);
  return attend(q.contiguous(), k.contiguous(), v.contiguous(), readSegments(segments, q.size(0))).first;
}

Tensor withGradient(const Tensor& q, const Tensor& k, const Tensor& v, at::IntArrayRef segments) {
  checkQueries(q, k, v);
  return BranchAttention::apply(q.contiguous(), k.contiguous(), v.contiguous(), segments);
}

TORCH_LIBRARY_FRAGMENT(mahalo, library) {
  library.def("branch_attention(Tensor q, Tensor k, Tensor v, int[] segments) -> Tensor");
}
TORCH_LIBRARY_IMPL(mahalo, CPU, library) { library.impl("branch_attention", forwardOnly); }
TORCH_LIBRARY_IMPL(mahalo, AutogradCPU, library) { library.impl("branch_attention", withGradient); }

}  // namespace
}  // namespace mahalo
