// Products of a few rows with a weight matrix whose rows lie in memory as they are: float32, bfloat16, or int8 with a scale a row.
//
//   y[r, n] = scale[n] * sum_k x[r, k] w[n, k]
//
// A step of decoding reads every weight once for a handful of rows, so memory bounds it and not arithmetic. Tiles of up
// to 6 rows by 4 weight rows keep their sums in registers, and a weight is read once however many tiles there are. A
// row's sums are added in one order whatever rows are beside it: its result is the same, bit for bit, alone or in company.
#pragma once
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "simd.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define MAHALO_WIDE 1
#define MAHALO_WIDE_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vnni")))
#else
#define MAHALO_WIDE 0
#endif

namespace mahalo {

/// A weight matrix [n, k] with contiguous rows; `scale` [n] belongs to int8.
struct Weight {
  at::ScalarType kind = at::kFloat;
  const void* data = nullptr;
  const float* scale = nullptr;
  int64_t n = 0, k = 0;
};

/// Rows [rows, k] in the form in which a weight's kernel multiplies them.
struct Rows {
  int64_t count = 0, k = 0;
  std::vector<float> floats;
  std::vector<c10::BFloat16> halves;
  /// Whole numbers of up to 15 bits: next to weights of 7 bits they lose nothing, and the products add up exactly.
  std::vector<int16_t> wholes;
  std::vector<float> unit;
};

#if MAHALO_WIDE
/// Whether the tiles below run here: AVX-512 with bfloat16 and int8 products (Zen 4, Sapphire Rapids, Cooper Lake and later).
inline bool hasWideTiles() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
  return has;
}

#define MAHALO_WIDE_INLINE MAHALO_WIDE_TARGET static inline __attribute__((always_inline))

/// Sums of 16 lanes of each of four registers, at once.
MAHALO_WIDE_INLINE __m128 sumLanes(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  const __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
  const __m512d high = _mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
  const __m512 quads = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(quads), _mm512_extractf32x8_ps(quads, 1));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

/// How one kind of weight is read and multiplied: kStep elements to a register, the last ones under a mask.
struct WideFloat {
  using X = float;
  using W = float;
  using Sum = __m512;
  using Part = __m512;
  static constexpr int64_t kStep = 16;
  MAHALO_WIDE_INLINE Sum zero() { return _mm512_setzero_ps(); }
  MAHALO_WIDE_INLINE Part weights(const W* w) { return _mm512_loadu_ps(w); }
  MAHALO_WIDE_INLINE Part weights(const W* w, uint32_t mask) { return _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), w); }
  MAHALO_WIDE_INLINE Part rows(const X* x) { return _mm512_loadu_ps(x); }
  MAHALO_WIDE_INLINE Part rows(const X* x, uint32_t mask) { return _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), x); }
  MAHALO_WIDE_INLINE Sum add(Sum sum, Part x, Part w) { return _mm512_fmadd_ps(x, w, sum); }
  MAHALO_WIDE_INLINE __m512 floats(Sum sum) { return sum; }
};

struct WideHalf {
  using X = c10::BFloat16;
  using W = c10::BFloat16;
  using Sum = __m512;
  using Part = __m512i;
  static constexpr int64_t kStep = 32;
  MAHALO_WIDE_INLINE Sum zero() { return _mm512_setzero_ps(); }
  MAHALO_WIDE_INLINE Part weights(const W* w) { return _mm512_loadu_si512(w); }
  MAHALO_WIDE_INLINE Part weights(const W* w, uint32_t mask) { return _mm512_maskz_loadu_epi16(mask, w); }
  MAHALO_WIDE_INLINE Part rows(const X* x) { return _mm512_loadu_si512(x); }
  MAHALO_WIDE_INLINE Part rows(const X* x, uint32_t mask) { return _mm512_maskz_loadu_epi16(mask, x); }
  MAHALO_WIDE_INLINE Sum add(Sum sum, Part x, Part w) { return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w); }
  MAHALO_WIDE_INLINE __m512 floats(Sum sum) { return sum; }
};

struct WideByte {
  using X = int16_t;
  using W = int8_t;
  using Sum = __m512i;
  using Part = __m512i;
  static constexpr int64_t kStep = 32;
  MAHALO_WIDE_INLINE Sum zero() { return _mm512_setzero_si512(); }
  MAHALO_WIDE_INLINE Part weights(const W* w) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w))); }
  MAHALO_WIDE_INLINE Part weights(const W* w, uint32_t mask) { return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(mask, w)); }
  MAHALO_WIDE_INLINE Part rows(const X* x) { return _mm512_loadu_si512(x); }
  MAHALO_WIDE_INLINE Part rows(const X* x, uint32_t mask) { return _mm512_maskz_loadu_epi16(mask, x); }
  MAHALO_WIDE_INLINE Sum add(Sum sum, Part x, Part w) { return _mm512_dpwssd_epi32(sum, x, w); }
  MAHALO_WIDE_INLINE __m512 floats(Sum sum) { return _mm512_cvtepi32_ps(sum); }
};

/// R rows by C weight rows; y[r * stride + c].
///
/// Memory gives one stream of addresses about twice as fast as several side by side. So for one or two rows, where it is
/// all that counts, weight rows are read one after the other; with more rows a row's part in a register serves four weight
/// rows at once, while the next tile's weights are asked for in the order of their addresses.
template <typename Kind, int R, int C>
MAHALO_WIDE_TARGET void wideTile(const typename Kind::X* x, const typename Kind::W* w, int64_t k, float* y, int64_t stride) {
  typename Kind::Sum sums[R][4];
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) sums[r][c] = Kind::zero();
  }
  const int64_t whole = k - k % Kind::kStep;
  const uint32_t mask = (1u << (k - whole)) - 1u;
  if constexpr (R <= 2) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      const auto* row = w + c * k;
      for (int64_t i = 0; i < whole; i += Kind::kStep) {
        const auto part = Kind::weights(row + i);
#pragma GCC unroll 2
        for (int r = 0; r < R; ++r) sums[r][c] = Kind::add(sums[r][c], Kind::rows(x + r * k + i), part);
      }
    }
  } else {
    constexpr int64_t kBytes = C * Kind::kStep * static_cast<int64_t>(sizeof(typename Kind::W));
    const char* next = reinterpret_cast<const char*>(w + C * k);
    for (int64_t i = 0; i < whole; i += Kind::kStep) {
      typename Kind::Part part[C];
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) part[c] = Kind::weights(w + c * k + i);
#pragma GCC unroll 4
      for (int64_t line = 0; line < kBytes; line += 64) _mm_prefetch(next + line, _MM_HINT_T0);
      next += kBytes;
#pragma GCC unroll 6
      for (int r = 0; r < R; ++r) {
        const auto own = Kind::rows(x + r * k + i);
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) sums[r][c] = Kind::add(sums[r][c], own, part[c]);
      }
    }
  }
  if (whole < k) {
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const auto own = Kind::rows(x + r * k + whole, mask);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) sums[r][c] = Kind::add(sums[r][c], own, Kind::weights(w + c * k + whole, mask));
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
    const __m128 four = sumLanes(Kind::floats(sums[r][0]), Kind::floats(sums[r][1]), Kind::floats(sums[r][2]), Kind::floats(sums[r][3]));
    if constexpr (C == 4) _mm_storeu_ps(y + r * stride, four);
    else y[r * stride] = _mm_cvtss_f32(four);
  }
}

template <typename Kind, int C>
void wideTiles(const typename Kind::X* x, int64_t rows, const typename Kind::W* w, int64_t k, float* y, int64_t stride) {
  const int64_t tiles = (rows + 5) / 6, most = (rows + tiles - 1) / tiles;
  for (int64_t row = 0; row < rows; row += most) {
    const auto* from = x + row * k;
    float* to = y + row * stride;
    switch (std::min(most, rows - row)) {
      case 1: wideTile<Kind, 1, C>(from, w, k, to, stride); break;
      case 2: wideTile<Kind, 2, C>(from, w, k, to, stride); break;
      case 3: wideTile<Kind, 3, C>(from, w, k, to, stride); break;
      case 4: wideTile<Kind, 4, C>(from, w, k, to, stride); break;
      case 5: wideTile<Kind, 5, C>(from, w, k, to, stride); break;
      default: wideTile<Kind, 6, C>(from, w, k, to, stride); break;
    }
  }
}

/// Weight rows `from` to `to`, all rows of x.
template <typename Kind>
void wideColumns(const typename Kind::X* x, int64_t rows, const Weight& weight, int64_t from, int64_t to, float* y) {
  const auto* w = static_cast<const typename Kind::W*>(weight.data);
  int64_t n = from;
  for (; n + 4 <= to; n += 4) wideTiles<Kind, 4>(x, rows, w + n * weight.k, weight.k, y + n, weight.n);
  for (; n < to; ++n) wideTiles<Kind, 1>(x, rows, w + n * weight.k, weight.k, y + n, weight.n);
}
#else
inline bool hasWideTiles() { return false; }
#endif

MAHALO_INLINE float widen(int8_t value) { return value; }

#define MAHALO_DOT(W)                                                                                              \
  MAHALO_CLONES inline float dotPlain(const float* x, const W* w, int64_t k) {                                     \
    float sum = 0;                                                                                                 \
    _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < k; ++i) sum += x[i] * widen(w[i]);              \
    return sum;                                                                                                    \
  }

/// Brings float rows into the form that `kind` needs; keeps memory between calls.
void prepareRows(const float* x, int64_t count, int64_t k, at::ScalarType kind, Rows& rows);
/// y [rows, n] in float32.
void multiplyRows(const Rows& rows, const Weight& weight, float* y);

}  // namespace mahalo
