// Optimiser updates in one pass over memory, for float32 on the CPU; composed foreach operators take five to eight.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <cmath>

#include "engine.hpp"
#include "simd.hpp"

namespace mahalo {
namespace {

using at::Tensor;

/// v <- alpha v + (1 - alpha) g^2, p <- p - rate g / (sqrt(v) + eps)
MAHALO_INLINE void rmspropRun(float* p, const float* g, float* v, int64_t count, float rate, float alpha, float eps) {
  const float rest = 1.0f - alpha;
  _Pragma("omp simd") for (int64_t i = 0; i < count; ++i) {
    const float square = v[i] * alpha + rest * g[i] * g[i];
    v[i] = square;
    p[i] -= rate * g[i] / (std::sqrt(square) + eps);
  }
}

/// m <- m + (1 - beta1) (g - m), v <- beta2 v + (1 - beta2) g^2, p <- keep p - rate m / (sqrt(v) / root + eps)
MAHALO_INLINE void adamwRun(float* p, const float* g, float* m, float* v, int64_t count, float rate, float keep, float toMean, float beta2, float root, float eps) {
  const float toSquare = 1.0f - beta2;
  _Pragma("omp simd") for (int64_t i = 0; i < count; ++i) {
    const float mean = m[i] + toMean * (g[i] - m[i]);
    const float square = v[i] * beta2 + toSquare * g[i] * g[i];
    m[i] = mean;
    v[i] = square;
    p[i] = keep * p[i] - rate * mean / (std::sqrt(square) / root + eps);
  }
}

void checkAlike(at::TensorList all, const Tensor& like) {
  for (const auto& one : all) {
    TORCH_CHECK(one.scalar_type() == at::kFloat && one.is_contiguous() && one.sizes() == like.sizes(),
                "fused update: parameters, gradients and state must be contiguous float32 of one shape");
  }
}

/// Elements a thread takes at least.
constexpr int64_t kGrain = 1 << 15;

void rmsprop(at::TensorList parameters, at::TensorList gradients, at::TensorList squares, double rate, double alpha, double eps) {
  TORCH_CHECK(parameters.size() == gradients.size() && parameters.size() == squares.size(), "fused update: lists of one length are needed");
  for (size_t n = 0; n < parameters.size(); ++n) {
    checkAlike({parameters[n], gradients[n], squares[n]}, parameters[n]);
    float *p = parameters[n].mutable_data_ptr<float>(), *v = squares[n].mutable_data_ptr<float>();
    const float* g = gradients[n].const_data_ptr<float>();
    at::parallel_for(0, parameters[n].numel(), kGrain, [&](int64_t from, int64_t to) {
      dispatch<rmspropRun>(p + from, g + from, v + from, to - from, static_cast<float>(rate), static_cast<float>(alpha), static_cast<float>(eps));
    });
    parameters[n].unsafeGetTensorImpl()->bump_version();
  }
}

void adamw(at::TensorList parameters, at::TensorList gradients, at::TensorList means, at::TensorList squares, double rate, double decay,
           double beta1, double beta2, double eps, int64_t step) {
  TORCH_CHECK(parameters.size() == gradients.size() && parameters.size() == means.size() && parameters.size() == squares.size(),
              "fused update: lists of one length are needed");
  const auto toMean = static_cast<float>(1 - beta1), root = static_cast<float>(std::sqrt(1 - std::pow(beta2, step)));
  const auto scaled = static_cast<float>(rate / (1 - std::pow(beta1, step))), keep = static_cast<float>(1 - rate * decay);
  for (size_t n = 0; n < parameters.size(); ++n) {
    checkAlike({parameters[n], gradients[n], means[n], squares[n]}, parameters[n]);
    float *p = parameters[n].mutable_data_ptr<float>(), *m = means[n].mutable_data_ptr<float>(), *v = squares[n].mutable_data_ptr<float>();
    const float* g = gradients[n].const_data_ptr<float>();
    at::parallel_for(0, parameters[n].numel(), kGrain, [&](int64_t from, int64_t to) {
      dispatch<adamwRun>(p + from, g + from, m + from, v + from, to - from, scaled, keep, toMean, static_cast<float>(beta2), root, static_cast<float>(eps));
    });
    parameters[n].unsafeGetTensorImpl()->bump_version();
  }
}

TORCH_LIBRARY_FRAGMENT(mahalo, library) {
  library.def("rmsprop_(Tensor(a!)[] parameters, Tensor[] gradients, Tensor(b!)[] squares, float rate, float alpha, float eps) -> ()");
  library.def(
      "adamw_(Tensor(a!)[] parameters, Tensor[] gradients, Tensor(b!)[] means, Tensor(c!)[] squares, float rate, float decay, float beta1, "
      "float beta2, float eps, int step) -> ()");
}
TORCH_LIBRARY_IMPL(mahalo, CPU, library) {
  library.impl("rmsprop_", rmsprop);
  library.impl("adamw_", adamw);
}

}  // namespace
}  // namespace mahalo
