// The instruction sets that our kernels are compiled for, and the one in use: the best that the processor has, or a lower
// one that MAHALO_ISA names.
#pragma once

namespace mahalo {

/// In rising order; a set has all that those before it have. `kPlain` is what the compiler's default target has (on Arm, all).
enum class Isa { kPlain, kAvx2, kAvx512, kAvx512Bf16, kAmx };

/// The set in use, decided at the first call. MAHALO_ISA is plain, avx2, avx512, avx512-bf16 or amx; TypeScript checks its value.
Isa isa();
/// The best set of this processor.
Isa bestIsa();
/// Its name, as MAHALO_ISA takes it.
const char* isaName(Isa isa);

}  // namespace mahalo

// What a function of each set may use. x86-64-v3 is AVX2 with FMA; v4 adds AVX-512 F, BW, CD, DQ, VL.
#if defined(__x86_64__) && defined(__GNUC__)
#define MAHALO_X86 1
#define MAHALO_AVX2 __attribute__((target("avx2,fma,f16c,bmi,bmi2,lzcnt,movbe")))
#define MAHALO_AVX512 __attribute__((target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c,bmi,bmi2,lzcnt,movbe")))
#define MAHALO_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16,avx512vnni,avx2,fma,f16c,bmi,bmi2,lzcnt,movbe")))
#define MAHALO_AMX __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16,avx512vnni,avx2,fma,f16c,bmi,bmi2,lzcnt,movbe")))
#else
#define MAHALO_X86 0
#define MAHALO_AVX2
#define MAHALO_AVX512
#define MAHALO_AVX512_BF16
#define MAHALO_AMX
#endif
