// Finds the instruction set that our kernels use.
#include "isa.hpp"

#include <cstdlib>
#include <cstring>
#include <initializer_list>

#if MAHALO_X86
#include <cpuid.h>
#endif
#if MAHALO_X86 && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace mahalo {

namespace {

/// Whether the processor has tiles of bfloat16 and the system lets this process use them, which Linux has to be asked for.
bool grantedAmx() {
#if MAHALO_X86 && defined(__linux__)
  // CPUID leaf 7: AMX-BF16 and AMX-TILE. XCR0, if the system enabled it: the state of tiles and of their sizes.
  constexpr unsigned kTiles = 1u << 22 | 1u << 24, kOsxsave = 1u << 27, kState = 3u << 17;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & kOsxsave) == 0) return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kTiles) != kTiles) return false;
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & kState) != kState) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace

Isa bestIsa() {
#if MAHALO_X86
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Isa::kPlain;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512cd") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return Isa::kAvx2;
  if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512vnni")) return Isa::kAvx512;
  static const bool amx = grantedAmx();
  return amx ? Isa::kAmx : Isa::kAvx512Bf16;
#else
  return Isa::kPlain;
#endif
}

const char* isaName(Isa isa) {
  switch (isa) {
    case Isa::kAvx2: return "avx2";
    case Isa::kAvx512: return "avx512";
    case Isa::kAvx512Bf16: return "avx512-bf16";
    case Isa::kAmx: return "amx";
    default: return "plain";
  }
}

Isa isa() {
  static const Isa chosen = [] {
    const Isa best = bestIsa();
    const char* wanted = std::getenv("MAHALO_ISA");
    if (wanted == nullptr) return best;
    for (const Isa set : {Isa::kPlain, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16, Isa::kAmx}) {
      if (std::strcmp(wanted, isaName(set)) == 0) return set < best ? set : best;
    }
    return best;
  }();
  return chosen;
}

}  // namespace mahalo
