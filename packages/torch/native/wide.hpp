// Products of bfloat16 in float32, for processors without instructions for them: libtorch multiplies there one number at a
// time, a hundred times slower than it multiplies floats.
#pragma once
#include <ATen/ATen.h>

#include "isa.hpp"

namespace mahalo {

/// Whether products of x are faster in float32. Of other processors than x86 nothing is known here: libtorch multiplies.
inline bool prefersFloats([[maybe_unused]] const at::Tensor& x) {
#if MAHALO_X86
  return x.scalar_type() == at::kBFloat16 && isa() < Isa::kAvx512Bf16;
#else
  return false;
#endif
}

/// a b of matrices, or of batches of matrices; computed in float32 where that is faster, rounded once.
inline at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  if (!prefersFloats(a)) return at::matmul(a, b);
  return at::matmul(a.to(at::kFloat), b.to(at::kFloat)).to(at::kBFloat16);
}

}  // namespace mahalo
