#include <immintrin.h>

#include "bench/roofline_instructions.h"

namespace deciban {
namespace {

// Each function runs `rounds` rounds of kChains independent multiply-adds.  Operands are opaque to the
// compiler and results are kept; values stay finite and normal.
constexpr int kChains = 12;      // covers a latency of six cycles at two a cycle, and fits sixteen registers
constexpr int kWideChains = 24;  // of thirty-two

template <typename T>
inline void opaque(T& value) {
  asm volatile("" : "+v"(value));
}

#define DECIBAN_CHAINS(VECTOR, CHAINS, START, STEP)                           \
  VECTOR acc[CHAINS];                                                         \
  _Pragma("GCC unroll 24") for (int i = 0; i < CHAINS; ++i) acc[i] = START;   \
  for (long round = 0; round < rounds; ++round) {                             \
    _Pragma("GCC unroll 24") for (int i = 0; i < CHAINS; ++i) STEP;           \
    _Pragma("GCC unroll 24") for (int i = 0; i < CHAINS; ++i) opaque(acc[i]); \
  }

void sse2(long rounds) {
  __m128 a = _mm_set1_ps(0.999f), b = _mm_set1_ps(1e-3f);
  opaque(a);
  opaque(b);
  DECIBAN_CHAINS(__m128, kChains, b, acc[i] = _mm_add_ps(_mm_mul_ps(acc[i], a), b))
}
__attribute__((target("avx2,fma"))) void fma256(long rounds) {
  __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
  opaque(a);
  opaque(b);
  DECIBAN_CHAINS(__m256, kChains, b, acc[i] = _mm256_fmadd_ps(a, b, acc[i]))
}
__attribute__((target("avx512f"))) void fma512(long rounds) {
  __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
  opaque(a);
  opaque(b);
  DECIBAN_CHAINS(__m512, kWideChains, b, acc[i] = _mm512_fmadd_ps(a, b, acc[i]))
}
__attribute__((target("avx512f,avx512bf16"))) void dot_bf16(long rounds) {
  __m512 pairs = _mm512_castsi512_ps(_mm512_set1_epi32(0x3c003c00));
  opaque(pairs);
  const __m512bh a = (__m512bh)pairs;
  DECIBAN_CHAINS(__m512, kWideChains, _mm512_set1_ps(1e-3f), acc[i] = _mm512_dpbf16_ps(acc[i], a, a))
}
__attribute__((target("avx512f,avx512vnni"))) void dot_i8(long rounds) {
  __m512i a = _mm512_set1_epi8(1);
  opaque(a);
  // By hand: GCC 12 copies the accumulator at every use of the intrinsic.
  DECIBAN_CHAINS(__m512i, kWideChains, _mm512_setzero_si512(),
                 asm volatile("vpdpbusd %1, %1, %0"
                              : "+v"(acc[i])
                              : "v"(a)))
}
#undef DECIBAN_CHAINS

constexpr std::string_view kSse2 = "mulps + addps xmm", kFma256 = "vfmadd231ps ymm",
                           kFma512 = "vfmadd231ps zmm", kBf16 = "vdpbf16ps zmm", kI8 = "vpdpbusd zmm";

const Instruction kInstructions[] = {
    {kSse2, sse2, kChains, 4 * 2, [] { return true; }},
    {kFma256, fma256, kChains, 8 * 2,
     [] { return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0; }},
    {kFma512, fma512, kWideChains, 16 * 2, [] { return __builtin_cpu_supports("avx512f") != 0; }},
    {kBf16, dot_bf16, kWideChains, 32 * 2, [] { return __builtin_cpu_supports("avx512bf16") != 0; }},
    {kI8, dot_i8, kWideChains, 64 * 2, [] { return __builtin_cpu_supports("avx512vnni") != 0; }},
};

}  // namespace

std::span<const Instruction> instructions() { return kInstructions; }

std::string_view instruction_of(std::string_view kernels, NumericMode mode) {
  if (kernels == "baseline") return kSse2;
  if (kernels == "avx2") return kFma256;
  if (kernels == "avx512bf16") {
    if (mode.activations == ActivationFormat::bf16) return kBf16;
    if (mode.activations == ActivationFormat::i8) return kI8;
  }
  return kFma512;
}

void relax() { _mm_pause(); }

}  // namespace deciban
