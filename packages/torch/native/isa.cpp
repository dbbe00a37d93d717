// Finds the instruction set that our kernels use.
#include "isa.hpp"

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace mahalo {

Isa bestIsa() {
#if MAHALO_X86
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Isa::kPlain;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512cd") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return Isa::kAvx2;
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni") ? Isa::kAvx512Bf16 : Isa::kAvx512;
#else
  return Isa::kPlain;
#endif
}

const char* isaName(Isa isa) {
  switch (isa) {
    case Isa::kAvx2: return "avx2";
    case Isa::kAvx512: return "avx512";
    case Isa::kAvx512Bf16: return "avx512-bf16";
    default: return "plain";
  }
}

Isa isa() {
  static const Isa chosen = [] {
    const Isa best = bestIsa();
    const char* wanted = std::getenv("MAHALO_ISA");
    if (wanted == nullptr) return best;
    for (const Isa set : {Isa::kPlain, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16}) {
      if (std::strcmp(wanted, isaName(set)) == 0) return set < best ? set : best;
    }
    return best;
  }();
  return chosen;
}

}  // namespace mahalo
