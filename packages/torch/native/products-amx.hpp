// Products of bfloat16 with bfloat16 in AMX's tiles: TDPBF16PS, 16 x 16 sums of 32 products each.
//
//   y[r, n] = sum_k x[r, k] w[n, k]
//
// A tile of weights is 32 elements of 16 weight rows, read where they lie. A tile of rows is 32 elements of up to 16 rows in
// the order that the instruction wants: pairs of elements, row by row; so rows are packed once for all weights. A sum grows by
// 32 products a step: those of the even elements are added up, those of the odd ones, both together, and that to the sum.
// This order is the same for any number of rows. Subnormal numbers count as zero, as operands and as sums.
#pragma once
#include "products.hpp"

namespace mahalo::amx {

/// Lines and words of a tile, and elements and bytes of a line.
constexpr int64_t kTile = 16, kStep = 32, kLine = 64;
/// Weight rows that are multiplied together.
constexpr int64_t kWeightRows = 2 * kTile;

/// Tiles of `count` rows.
inline int64_t tileCount(int64_t count) { return (count + kTile - 1) / kTile; }
/// Numbers of `count` packed rows of k elements.
inline int64_t packedSize(int64_t count, int64_t k) { return (k + kStep - 1) / kStep * kStep * (count < kTile ? count : tileCount(count) * kTile); }
/// Packs the tiles `from` to `to` of x [count, k], rounded to bfloat16; what is missing in a tile is zero.
void packRows(const float* x, int64_t count, int64_t k, int64_t from, int64_t to, c10::BFloat16* packed);
/// Weight rows `from` to `to`, all rows, on this thread.
void multiplyColumns(const Rows& rows, const Weight& weight, int64_t from, int64_t to, float* y, int64_t stride);

}  // namespace mahalo::amx
