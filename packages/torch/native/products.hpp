// Products of rows with a weight matrix whose rows lie in memory as they are: float32, bfloat16, or int8 with a scale a row.
//
//   y[r, n] = scale[n] * sum_k x[r, k] w[n, k]
//
// A row's sums are added in one order whatever rows are beside it: its result is the same, bit for bit, alone or in company.
// So answers of a language model do not depend on what else is decoded, which libtorch's matrix products do not promise.
#pragma once
#include <c10/core/ScalarType.h>
#include <c10/util/BFloat16.h>

#include <cstdint>
#include <new>
#include <vector>

namespace mahalo {

/// A weight matrix [n, k] with contiguous rows; `scale` [n] belongs to int8.
struct Weight {
  at::ScalarType kind = at::kFloat;
  const void* data = nullptr;
  const float* scale = nullptr;
  int64_t n = 0, k = 0;
};

/// A vector that begins with a cache line, so that no register of it lies in two.
template <typename T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};
  LineAllocator() = default;
  template <typename U>
  LineAllocator(const LineAllocator<U>&) {}
  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kLine)); }
  void deallocate(T* memory, std::size_t) { ::operator delete(memory, kLine); }
  bool operator==(const LineAllocator&) const { return true; }
};
template <typename T>
using Aligned = std::vector<T, LineAllocator<T>>;

/// Rows [count, k] in the form in which a weight's kernel multiplies them; memory is kept between uses.
struct Rows {
  int64_t count = 0, k = 0;
  /// The caller's own rows, where they are multiplied as they are.
  const float* floats = nullptr;
  Aligned<c10::BFloat16> halves;
  /// Whole numbers of up to 15 bits: next to weights of 7 bits they lose nothing, and the products add up exactly.
  Aligned<int16_t> wholes;
  std::vector<float> unit;
};

/// Brings float rows into the form that `kind` needs. `x` must stay until they have been multiplied.
void prepareRows(const float* x, int64_t count, int64_t k, at::ScalarType kind, Rows& rows);
/// y [rows, n] in float32.
void multiplyRows(const Rows& rows, const Weight& weight, float* y);
/// The same on this thread alone, with rows of y `stride` apart.
void multiplyBlock(const Rows& rows, const Weight& weight, float* y, int64_t stride);
/// Symmetric int8 of one row: its scale, max |w| / 127, and round(w / scale).
float quantizeRow(const float* w, int64_t k, int8_t* into);

}  // namespace mahalo
