// Products of rows with weights: the forms of each instruction set, and their division among threads.
#include "products.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "products-amx.hpp"
#include "simd.hpp"

#if MAHALO_X86
#include <immintrin.h>
#endif

namespace mahalo {
namespace {

/// Bytes of a block of widened weights, which stay in a core's first cache beside a tile's rows, and rows of a block, which
/// stay in its second.
constexpr int64_t kBlockBytes = 18432;
constexpr int64_t kBlockRows = 96;
/// Tiles of rows up to which widening in registers is faster than widening a block first.
constexpr int64_t kDirectTiles = 4;

#define MAHALO_SET plain
#define MAHALO_TARGET
#define MAHALO_REGISTER 16
#define MAHALO_ROWS 3
#define MAHALO_PAIRS 0
#include "products-tile.inl"

#if MAHALO_X86
#define MAHALO_SET avx2
#define MAHALO_TARGET MAHALO_AVX2
#define MAHALO_REGISTER 32
#define MAHALO_ROWS 3
#define MAHALO_PAIRS 0
#include "products-tile.inl"

#define MAHALO_SET avx512
#define MAHALO_TARGET MAHALO_AVX512
#define MAHALO_REGISTER 64
#define MAHALO_ROWS 6
#define MAHALO_PAIRS 0
#include "products-tile.inl"

#define MAHALO_SET avx512bf16
#define MAHALO_TARGET MAHALO_AVX512_BF16
#define MAHALO_REGISTER 64
#define MAHALO_ROWS 6
#define MAHALO_PAIRS 1
#include "products-tile.inl"
#endif

/// Floats of a register of the instruction set in use.
int64_t lanes() { return isa() >= Isa::kAvx512 ? 16 : isa() == Isa::kAvx2 ? 8 : 4; }

/// Largest absolute value; NaN where any is no number.
MAHALO_INLINE float largest(const float* x, int64_t count) {
  float top = 0, poison = 0;
  _Pragma("omp simd reduction(max : top) reduction(+ : poison)") for (int64_t i = 0; i < count; ++i) {
    top = std::max(top, std::abs(x[i]));
    poison += x[i] * 0.0f;
  }
  return top + poison;
}

MAHALO_INLINE void toWholes(const float* x, int16_t* y, int64_t count, float raise, float inverse) {
  // Adding 1.5 * 2^23 rounds to the nearest whole number, ties to even.
  _Pragma("omp simd") for (int64_t i = 0; i < count; ++i) {
    y[i] = static_cast<int16_t>(static_cast<int32_t>((x[i] * raise * inverse + 12582912.0f) - 12582912.0f));
  }
}

/// Whole numbers up to `limit` for values up to `top`. Values so small that limit / top is infinite are raised first.
void wholesOf(const float* x, int16_t* y, int64_t count, float top, float limit) {
  const float raise = top < 1e-30f ? 0x1p64f : 1.0f;
  const float raised = top * raise;
  dispatch<toWholes>(x, y, count, raise, std::isfinite(raised) && raised > 0 ? limit / raised : 0.0f);
}

MAHALO_INLINE void scaleRow(float* y, const float* scale, int64_t from, int64_t to, float unit) {
  _Pragma("omp simd") for (int64_t i = from; i < to; ++i) y[i] *= unit * scale[i];
}

/// Largest whole number of an activation so that no lane's sum of products with weights of 7 bits can leave 32 bits.
float wholeLimit(int64_t k) {
  const int64_t addends = (k + lanes() - 1) / lanes();
  return static_cast<float>(std::min<int64_t>(32767, 2147483647LL / (127 * std::max<int64_t>(1, addends))));
}

/// Rows that a thread converts at least.
int64_t grainOf(int64_t k) { return std::max<int64_t>(1, 32768 / std::max<int64_t>(1, k)); }

}  // namespace

void prepareRows(const float* x, int64_t count, int64_t k, at::ScalarType kind, Rows& rows) {
  rows.count = count;
  rows.k = k;
  rows.floats = x;
#if MAHALO_X86
  if (kind == at::kBFloat16 && isa() >= Isa::kAmx) {
    rows.halves.resize(amx::packedSize(count, k));
    at::parallel_for(0, amx::tileCount(count), grainOf(k * amx::kTile), [&](int64_t from, int64_t to) { amx::packRows(x, count, k, from, to, rows.halves.data()); });
    return;
  }
#endif
  if (kind == at::kBFloat16 && isa() >= Isa::kAvx512Bf16) {
    rows.halves.resize(count * k);
    at::parallel_for(0, count, grainOf(k), [&](int64_t from, int64_t to) {
      dispatch<toHalves>(x + from * k, rows.halves.data() + from * k, (to - from) * k);
    });
  } else if (kind == at::kChar) {
    rows.wholes.resize(count * k);
    rows.unit.resize(count);
    const float limit = wholeLimit(k);
    at::parallel_for(0, count, grainOf(k), [&](int64_t from, int64_t to) {
      for (int64_t r = from; r < to; ++r) {
        const float top = dispatch<largest>(x + r * k, k);
        // What is no number must not become one.
        const bool finite = std::isfinite(top);
        rows.unit[r] = finite ? top / limit : std::numeric_limits<float>::quiet_NaN();
        wholesOf(x + r * k, rows.wholes.data() + r * k, k, top, limit);
      }
    });
  }
}

namespace {

/// Weight rows `from` to `to`, scaled where they are int8.
void multiplyColumns(const Rows& rows, const Weight& weight, int64_t from, int64_t to, float* y, int64_t stride) {
  if (weight.k == 0) {
    for (int64_t r = 0; r < rows.count; ++r) std::fill(y + r * stride + from, y + r * stride + to, 0.0f);
    return;
  }
  switch (isa()) {
#if MAHALO_X86
    case Isa::kAmx:
      if (weight.kind == at::kBFloat16) {
        amx::multiplyColumns(rows, weight, from, to, y, stride);
        break;
      }
      [[fallthrough]];
    case Isa::kAvx512Bf16: avx512bf16::multiplyColumns(rows, weight, from, to, y, stride); break;
    case Isa::kAvx512: avx512::multiplyColumns(rows, weight, from, to, y, stride); break;
    case Isa::kAvx2: avx2::multiplyColumns(rows, weight, from, to, y, stride); break;
#endif
    default: plain::multiplyColumns(rows, weight, from, to, y, stride);
  }
  if (weight.kind != at::kChar) return;
  for (int64_t r = 0; r < rows.count; ++r) dispatch<scaleRow>(y + r * stride, weight.scale, from, to, rows.unit[r]);
}

}  // namespace

void multiplyRows(const Rows& rows, const Weight& weight, float* y) {
  if (rows.count == 0) return;
  const int64_t block = isa() >= Isa::kAmx ? amx::kWeightRows : 4;
  const int64_t blocks = (weight.n + block - 1) / block;
  const int64_t grain = std::max<int64_t>(1, 65536 / std::max<int64_t>(1, block * weight.k * std::min<int64_t>(rows.count, 8)));
  at::parallel_for(0, blocks, grain, [&](int64_t first, int64_t last) {
    multiplyColumns(rows, weight, first * block, std::min(weight.n, last * block), y, weight.n);
  });
}

void multiplyBlock(const Rows& rows, const Weight& weight, float* y, int64_t stride) { multiplyColumns(rows, weight, 0, weight.n, y, stride); }

float quantizeRow(const float* w, int64_t k, int8_t* into) {
  static thread_local std::vector<int16_t> wholes;
  wholes.resize(k);
  const float top = dispatch<largest>(w, k);
  wholesOf(w, wholes.data(), k, top, 127.0f);
  for (int64_t i = 0; i < k; ++i) into[i] = static_cast<int8_t>(wholes[i]);
  return top / 127.0f;
}

}  // namespace mahalo
