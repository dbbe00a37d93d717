// Softmax of rows of attention scores in place, float32 in registers.
#pragma once
#include <algorithm>
#include <cmath>

#include "simd.hpp"

namespace mahalo {
namespace {

/// Softmax of the first `seen` scores, 0 behind them, in place.
template <typename T>
MAHALO_INLINE void softmaxRow(T* s, int64_t seen, int64_t width, float scale) {
  float top = -INFINITY;
  _Pragma("omp simd reduction(max : top)") for (int64_t i = 0; i < seen; ++i) top = std::max(top, widen(s[i]));
  float sum = 0;
  _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < seen; ++i) sum += fastExp(scale * (widen(s[i]) - top));
  const float inverse = 1.0f / sum;
  _Pragma("omp simd") for (int64_t i = 0; i < seen; ++i) s[i] = narrow<T>(fastExp(scale * (widen(s[i]) - top)) * inverse);
  for (int64_t i = seen; i < width; ++i) s[i] = narrow<T>(0.0f);
}

}  // namespace
}  // namespace mahalo
