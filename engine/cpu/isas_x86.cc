#include "engine/cpu/isas.h"

namespace deciban::cpu {

extern "C" {
extern const Kernels kernels_baseline, kernels_avx2, kernels_avx512, kernels_avx512bf16;
}

namespace {

const Isa kIsas[] = {
    {&kernels_baseline, [] { return true; }},
    {&kernels_avx2, [] { return __builtin_cpu_supports("x86-64-v3") != 0; }},
    {&kernels_avx512, [] { return __builtin_cpu_supports("x86-64-v4") != 0; }},
    {&kernels_avx512bf16,
     [] {
       // Every CPU with AVX-512 BF16 has VNNI too; the table uses both.
       return __builtin_cpu_supports("x86-64-v4") != 0 && __builtin_cpu_supports("avx512bf16") != 0 &&
              __builtin_cpu_supports("avx512vnni") != 0;
     }},
};

}  // namespace

std::span<const Isa> isas() { return kIsas; }

}  // namespace deciban::cpu
