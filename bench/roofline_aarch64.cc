#include <arm_neon.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/roofline_instructions.h"

namespace deciban {
namespace {

// Each function runs `rounds` rounds of kChains independent multiply-adds.  Operands are opaque to the
// compiler and results are kept; values stay finite and normal.
constexpr int kChains = 24;  // covers a latency of six cycles at four a cycle, and fits 32 registers

template <typename T>
inline void opaque(T& value) {
  asm volatile("" : "+w"(value));
}

#define DECIBAN_CHAINS(VECTOR, START, STEP)                                    \
  VECTOR acc[kChains];                                                         \
  _Pragma("GCC unroll 24") for (int i = 0; i < kChains; ++i) acc[i] = START;   \
  for (long round = 0; round < rounds; ++round) {                              \
    _Pragma("GCC unroll 24") for (int i = 0; i < kChains; ++i) { STEP; }       \
    _Pragma("GCC unroll 24") for (int i = 0; i < kChains; ++i) opaque(acc[i]); \
  }

void fma128(long rounds) {
  float32x4_t a = vdupq_n_f32(0.999f), b = vdupq_n_f32(1e-3f);
  opaque(a);
  opaque(b);
  DECIBAN_CHAINS(float32x4_t, b, acc[i] = vfmaq_f32(acc[i], a, b))
}
// Eight products of i8 in i16, then two of them to each i32.
void widening_i8(long rounds) {
  int8x8_t a = vdup_n_s8(1);
  opaque(a);
  DECIBAN_CHAINS(int32x4_t, vdupq_n_s32(0), opaque(a); acc[i] = vpadalq_s16(acc[i], vmull_s8(a, a)))
}
__attribute__((target("arch=armv8.2-a+dotprod"))) void dot_i8(long rounds) {
  int8x16_t a = vdupq_n_s8(1);
  opaque(a);
  DECIBAN_CHAINS(int32x4_t, vdupq_n_s32(0), acc[i] = vdotq_s32(acc[i], a, a))
}
__attribute__((target("arch=armv8.2-a+bf16"))) void dot_bf16(long rounds) {
  float32x4_t pairs = vreinterpretq_f32_u32(vdupq_n_u32(0x3c003c00));
  opaque(pairs);
  const bfloat16x8_t a = vreinterpretq_bf16_f32(pairs);
  DECIBAN_CHAINS(float32x4_t, vdupq_n_f32(1e-3f), acc[i] = vbfdotq_f32(acc[i], a, a))
}
#undef DECIBAN_CHAINS

bool has(const char* isa) {
  const std::vector<std::string> names = supported_isas();
  return std::find(names.begin(), names.end(), isa) != names.end();
}

constexpr std::string_view kFma = "fmla 4s", kWideningI8 = "smull + sadalp", kI8 = "sdot 4s",
                           kBf16 = "bfdot 4s";

const Instruction kInstructions[] = {
    {kFma, fma128, kChains, 4 * 2, [] { return true; }},
    {kWideningI8, widening_i8, kChains, 8 * 2, [] { return true; }},
    {kI8, dot_i8, kChains, 16 * 2, [] { return has("neon_dot"); }},
    {kBf16, dot_bf16, kChains, 8 * 2, [] { return has("neon_bf16"); }},
};

}  // namespace

std::span<const Instruction> instructions() { return kInstructions; }

std::string_view instruction_of(std::string_view kernels, NumericMode mode) {
  if (mode.activations == ActivationFormat::i8) return kernels == "neon" ? kWideningI8 : kI8;
  if (mode.activations == ActivationFormat::bf16 && kernels == "neon_bf16") return kBf16;
  return kFma;
}

// "yield" does nothing on most cores; this one empties the pipeline, as long a pause as x86's.
void relax() { asm volatile("isb" ::: "memory"); }

}  // namespace deciban
