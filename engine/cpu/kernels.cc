// Compiled once per instruction set (engine/CMakeLists.txt); KERNELS is the name of the table it exports.
#include "engine/cpu/kernels.h"

#include <bit>
#include <cstring>

#include "engine/cpu/simd.h"

namespace deciban::cpu {
namespace {

// To IEEE half, nearest even; overflow becomes infinity.
inline std::uint16_t to_f16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000;
  const std::uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x47800000) return static_cast<std::uint16_t>(sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00));
  if (magnitude < 0x38800000) {  // subnormal half: adding 0.5 in f32 rounds at the half's last place
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000));
  }
  return static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13));
}

}  // namespace
}  // namespace deciban::cpu

#include "engine/cpu/gemm-inl.h"
#include "engine/cpu/rows-inl.h"
#include "engine/cpu/wkv-inl.h"

namespace deciban::cpu {
namespace {

void function(int which, const float* in, float* out, std::size_t count) {
  alignas(64) float x[kWidth];
  for (std::size_t i = 0; i < count; i += kWidth) {
    const std::size_t lanes = count - i < kWidth ? count - i : kWidth;
    for (std::size_t l = 0; l < kWidth; ++l) x[l] = l < lanes ? in[i + l] : 0.0f;
    const V v = load(x);
    store(x, which == 0 ? exp(v) : which == 1 ? sigmoid(v) : tanh(v));
    for (std::size_t l = 0; l < lanes; ++l) out[i + l] = x[l];
  }
}

}  // namespace

#define DECIBAN_STRING2(x) #x
#define DECIBAN_STRING(x) DECIBAN_STRING2(x)

extern "C" {
extern const Kernels KERNELS;
const Kernels KERNELS = {DECIBAN_STRING(KERNELS) + sizeof("kernels_") - 1,
                         kPanel,
                         kBlock,
                         pack,
                         quantise,
                         linear,
                         head,
                         norm_mix,
                         norm,
                         wkv4,
                         wkv5,
                         wkv7,
                         function};
}

}  // namespace deciban::cpu
