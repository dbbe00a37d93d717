// Products of bfloat16 in the tiles of AMX: how rows are packed, and what multiplies weight rows with them.
#include "products-amx.hpp"

#include <algorithm>
#include <vector>

#include "isa.hpp"

#if MAHALO_X86
#include <immintrin.h>
#endif

namespace mahalo::amx {

#if MAHALO_X86
namespace {

#define MAHALO_AMX_INLINE MAHALO_AMX static inline __attribute__((always_inline))

/// The transpose of 16 x 16 words of 32 bits.
MAHALO_AMX_INLINE void transpose(__m512i (&r)[16]) {
  __m512i t[16];
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const __m512i a = _mm512_unpacklo_epi32(r[i], r[i + 1]), b = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    const __m512i c = _mm512_unpacklo_epi32(r[i + 2], r[i + 3]), d = _mm512_unpackhi_epi32(r[i + 2], r[i + 3]);
    t[i] = _mm512_unpacklo_epi64(a, c);
    t[i + 1] = _mm512_unpackhi_epi64(a, c);
    t[i + 2] = _mm512_unpacklo_epi64(b, d);
    t[i + 3] = _mm512_unpackhi_epi64(b, d);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512i a = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd);
    const __m512i c = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88), d = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xdd);
    r[i] = _mm512_shuffle_i32x4(a, c, 0x88);
    r[i + 4] = _mm512_shuffle_i32x4(b, d, 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
    r[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
  }
}

MAHALO_AMX_INLINE __mmask16 firstOf(int64_t count) { return static_cast<__mmask16>((1u << std::clamp<int64_t>(count, 0, 16)) - 1); }

/// What LDTILECFG reads: lines and bytes of a line for each tile. 0 to 3 are sums (first weights by first rows, first by second,
/// second by first, second by second), 4 and 5 weights, 6 and 7 rows.
struct alignas(64) Shape {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t lines[16] = {};
};

/// Makes the tiles fit `weights` weight rows by `rows` rows. It is done in each call, since oneDNN uses the same threads' tiles.
MAHALO_AMX void configure(int64_t weights, int64_t rows) {
  Shape shape;
  const auto set = [&](int tile, int64_t lines, int64_t bytes) {
    shape.lines[tile] = static_cast<uint8_t>(lines);
    shape.bytes[tile] = static_cast<uint16_t>(bytes);
  };
  const int64_t heights[] = {std::min(kTile, weights), weights > kTile ? weights - kTile : kTile};
  for (int half = 0; half < 2; ++half) {
    set(2 * half, heights[half], 4 * rows);
    set(2 * half + 1, heights[half], 4 * rows);
    set(4 + half, heights[half], kLine);
    set(6 + half, kTile, 4 * rows);
  }
  // The intrinsic does not tell the compiler what it reads.
  asm volatile("" ::: "memory");
  _tile_loadconfig(&shape);
}

/// Up to 32 weight rows: where they lie, or a copy in the order of the steps.
struct Weights {
  const char* lines;
  /// Bytes from a weight row to the next, from the 16th to the 17th's tile, and from a step to the next.
  int64_t pitch, second, advance;
  int64_t steps, rows;
  /// What memory is asked for meanwhile, and bytes of it in a step.
  const char* fetch;
  int64_t share;
};

/// Sums of A tiles of weights with B tiles of rows, left in the tiles. Rows come from the first cache where they are few, and
/// weights from the second; else weights stay in the first (T1 loads do not displace what lies there).
template <int A, int B, bool kFew>
MAHALO_AMX_INLINE void addUp(const Weights& weights, const char* x0, const char* x1, int64_t height) {
  const char *w = weights.lines, *fetch = weights.fetch;
  const int64_t width = 4 * height, pitch = weights.pitch;
  _tile_zero(0);
  if constexpr (B == 2) _tile_zero(1);
  if constexpr (A == 2) _tile_zero(2);
  if constexpr (A == 2 && B == 2) _tile_zero(3);
  for (int64_t step = 0; step < weights.steps; ++step) {
    if constexpr (kFew) {
      _tile_loadd(6, x0, width);
      _tile_stream_loadd(4, w, pitch);
    } else {
      _tile_stream_loadd(6, x0, width);
      _tile_loadd(4, w, pitch);
    }
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (B == 2) {
      if constexpr (kFew) _tile_loadd(7, x1, width);
      else _tile_stream_loadd(7, x1, width);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (A == 2) {
      if constexpr (kFew) _tile_stream_loadd(5, w + weights.second, pitch);
      else _tile_loadd(5, w + weights.second, pitch);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (B == 2) _tile_dpbf16ps(3, 5, 7);
    }
    for (int64_t byte = 0; byte < weights.share; byte += kLine) _mm_prefetch(fetch + byte, _MM_HINT_T1);
    fetch += weights.share;
    w += weights.advance;
    x0 += kTile * width, x1 += kTile * width;
  }
}

/// Writes sums [weights, rows], as tiles are stored, into y [rows, weights].
MAHALO_AMX_INLINE void writeSums(const float* stored, int64_t rows, int64_t weights, float* y, int64_t stride) {
  __m512i lines[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) lines[i] = _mm512_load_si512(stored + i * kTile);
  transpose(lines);
  const __mmask16 mask = firstOf(weights);
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) {
    if (r < rows) _mm512_mask_storeu_epi32(y + r * stride, mask, lines[r]);
  }
}

/// All rows with A tiles of weights.
template <int A, bool kFew>
MAHALO_AMX void multiplyWeights(Weights weights, const Rows& rows, float* y, int64_t stride) {
  alignas(64) float stored[4][kTile * kTile];
  const int64_t tiles = tileCount(rows.count), height = std::min(kTile, rows.count);
  const int64_t first = std::min(kTile, weights.rows), second = weights.rows - first;
  const auto* x = reinterpret_cast<const char*>(rows.halves.data());
  const int64_t size = weights.steps * height * kLine;
  for (int64_t tile = 0; tile < tiles; tile += 2, x += 2 * size) {
    float* to = y + tile * kTile * stride;
    const int64_t left = rows.count - tile * kTile;
    const bool both = tile + 1 < tiles;
    if (both) addUp<A, 2, kFew>(weights, x, x + size, height);
    else addUp<A, 1, kFew>(weights, x, x, height);
    weights.fetch += weights.share * weights.steps;
    if (rows.count == 1) {
      _tile_stored(0, to, 4);
      if constexpr (A == 2) _tile_stored(2, to + kTile, 4);
      continue;
    }
    _tile_stored(0, stored[0], kLine);
    if constexpr (A == 2) _tile_stored(2, stored[2], kLine);
    if (both) {
      _tile_stored(1, stored[1], kLine);
      if constexpr (A == 2) _tile_stored(3, stored[3], kLine);
    }
    writeSums(stored[0], left, first, to, stride);
    if constexpr (A == 2) writeSums(stored[2], left, second, to + kTile, stride);
    if (!both) continue;
    writeSums(stored[1], left - kTile, first, to + kTile * stride, stride);
    if constexpr (A == 2) writeSums(stored[3], left - kTile, second, to + kTile * stride + kTile, stride);
  }
}

/// Copies `rows` weight rows in the order of the steps; the last step is filled with zeros.
MAHALO_AMX void copyWeights(const c10::BFloat16* w, int64_t rows, int64_t k, c10::BFloat16* to) {
  for (int64_t row = 0; row < rows; ++row, w += k) {
    for (int64_t i = 0; i < k; i += kStep) {
      const auto mask = static_cast<__mmask32>(k - i < kStep ? (1u << (k - i)) - 1 : ~0u);
      _mm512_store_si512(to + i * kWeightRows + row * kStep, _mm512_maskz_loadu_epi16(mask, w + i));
    }
  }
}

}  // namespace

MAHALO_AMX void packRows(const float* x, int64_t count, int64_t k, int64_t from, int64_t to, c10::BFloat16* packed) {
  const int64_t height = std::min(kTile, count);
  for (int64_t tile = from; tile < to; ++tile) {
    const float* own = x + tile * kTile * k;
    const int64_t rows = std::min(kTile, count - tile * kTile);
    auto* into = reinterpret_cast<char*>(packed + packedSize(kTile, k) * tile);
    for (int64_t i = 0; i < k; i += kStep, into += kTile * 4 * height) {
      const __mmask16 low = firstOf(k - i), high = firstOf(k - i - 16);
      __m512i lines[16];
#pragma GCC unroll 16
      for (int r = 0; r < 16; ++r) {
        if (r < rows) lines[r] = (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(high, own + r * k + i + 16), _mm512_maskz_loadu_ps(low, own + r * k + i));
        else lines[r] = _mm512_setzero_si512();
      }
      if (count == 1) {
        _mm512_store_si512(into, lines[0]);
        continue;
      }
      transpose(lines);
      const __mmask16 mask = firstOf(height);
#pragma GCC unroll 16
      for (int p = 0; p < 16; ++p) _mm512_mask_storeu_epi32(into + p * 4 * height, mask, lines[p]);
    }
  }
}

MAHALO_AMX void multiplyColumns(const Rows& rows, const Weight& weight, int64_t from, int64_t to, float* y, int64_t stride) {
  static thread_local Aligned<c10::BFloat16> copy;
  const int64_t k = weight.k, pitch = 2 * k, pairs = (tileCount(rows.count) + 1) / 2;
  const auto* w = static_cast<const c10::BFloat16*>(weight.data);
  const bool copied = k % kStep != 0 || (pairs > 1 && ((reinterpret_cast<uintptr_t>(w) | pitch) % kLine != 0 || pitch % 4096 == 0));
  Weights weights{nullptr, pitch, kTile * pitch, kLine, (k + kStep - 1) / kStep, 0, nullptr, 0};
  if (copied) {
    copy.resize(weights.steps * kStep * kWeightRows);
    weights.lines = reinterpret_cast<const char*>(copy.data());
    weights.pitch = kLine, weights.second = kTile * kLine, weights.advance = kWeightRows * kLine;
  }
  for (int64_t n = from; n < to; n += kWeightRows) {
    const int64_t some = std::min(kWeightRows, to - n);
    if (some != weights.rows) configure(some, std::min(kTile, rows.count)), weights.rows = some;
    if (copied) copyWeights(w + n * k, some, k, copy.data());
    else weights.lines = reinterpret_cast<const char*>(w + n * k);
    weights.fetch = reinterpret_cast<const char*>(w + (n + some) * k);
    weights.share = std::min(kWeightRows, to - n - some) / pairs * kLine;
    asm volatile("" ::: "memory");
    if (some > kTile) pairs > 1 ? multiplyWeights<2, false>(weights, rows, y + n, stride) : multiplyWeights<2, true>(weights, rows, y + n, stride);
    else multiplyWeights<1, true>(weights, rows, y + n, stride);
  }
  _tile_release();
}
#endif

}  // namespace mahalo::amx
