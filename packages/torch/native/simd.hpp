// Row arithmetic that the compiler vectorises: bf16 in memory, float32 in registers, and an exponential without a call.
#pragma once
#include <c10/util/BFloat16.h>

#include <cstdint>
#include <cstring>

#include "isa.hpp"

#if defined(__GNUC__) && !defined(__clang__)
#define MAHALO_OPTIMIZE __attribute__((optimize("O3", "no-math-errno", "no-trapping-math")))
#else
#define MAHALO_OPTIMIZE
#endif
#define MAHALO_INLINE inline __attribute__((always_inline))

namespace mahalo {

/// A function compiled for each instruction set; its body is inlined into each and vectorised there.
template <auto Body>
struct Variants;
template <typename R, typename... A, R (*Body)(A...)>
struct Variants<Body> {
  MAHALO_AVX512 MAHALO_OPTIMIZE static R avx512(A... a) { return Body(a...); }
  MAHALO_AVX2 MAHALO_OPTIMIZE static R avx2(A... a) { return Body(a...); }
  MAHALO_OPTIMIZE static R plain(A... a) { return Body(a...); }
};

/// Calls an always-inline function in the form of the instruction set in use.
template <auto Body, typename... A>
MAHALO_INLINE auto dispatch(A... a) {
#if MAHALO_X86
  const Isa set = isa();
  if (set >= Isa::kAvx512) return Variants<Body>::avx512(a...);
  if (set == Isa::kAvx2) return Variants<Body>::avx2(a...);
#endif
  return Variants<Body>::plain(a...);
}

MAHALO_INLINE float widen(float value) { return value; }
MAHALO_INLINE float widen(int8_t value) { return value; }
MAHALO_INLINE float widen(int16_t value) { return value; }
MAHALO_INLINE float widen(c10::BFloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.x) << 16;
  float result;
  std::memcpy(&result, &bits, 4);
  return result;
}

template <typename T>
T narrow(float value);
template <>
MAHALO_INLINE float narrow<float>(float value) { return value; }
/// Round to nearest, ties to even, as libtorch does; NaN stays NaN.
template <>
MAHALO_INLINE c10::BFloat16 narrow<c10::BFloat16>(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return c10::BFloat16(static_cast<uint16_t>(value != value ? 0x7fc0u : rounded), c10::BFloat16::from_bits());
}

/// e^x to about 1 unit in the last place: 2^n times a polynomial of the rest (n rounded by adding 1.5 * 2^23).
MAHALO_INLINE float fastExp(float x) {
  const float bounded = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  const float shifted = bounded * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const uint32_t scale = static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &scale, 4);
  // Below the smallest normal number the result is 0; NaN fails both bounds above and passes through p.
  return x < -87.0f ? 0.0f : p * power;
}

// Rows that more than one kernel needs; called through `dispatch`.

MAHALO_INLINE void toHalves(const float* x, c10::BFloat16* y, int64_t count) {
  _Pragma("omp simd") for (int64_t i = 0; i < count; ++i) y[i] = narrow<c10::BFloat16>(x[i]);
}

MAHALO_INLINE void toFloats(const c10::BFloat16* x, float* y, int64_t count) {
  _Pragma("omp simd") for (int64_t i = 0; i < count; ++i) y[i] = widen(x[i]);
}

/// y += x
MAHALO_INLINE void addRow(float* y, const float* x, int64_t count) {
  _Pragma("omp simd") for (int64_t i = 0; i < count; ++i) y[i] += x[i];
}

}  // namespace mahalo
