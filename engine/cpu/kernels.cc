// Compiled once per instruction set (engine/CMakeLists.txt); KERNELS is the name of the table it exports.
#include "engine/cpu/kernels.h"

#include "engine/cpu/attention-inl.h"
#include "engine/cpu/gemm-inl.h"
#include "engine/cpu/pack-inl.h"
#include "engine/cpu/rows-inl.h"
#include "engine/cpu/simd.h"
#include "engine/cpu/wkv-inl.h"

namespace deciban::cpu {
namespace {

void function(int which, const float* in, float* out, std::size_t count) {
  alignas(64) float x[kWidth];
  for (std::size_t i = 0; i < count; i += kWidth) {
    const std::size_t lanes = count - i < kWidth ? count - i : kWidth;
    for (std::size_t l = 0; l < kWidth; ++l) x[l] = l < lanes ? in[i + l] : 0.0f;
    const V v = load(x);
    store(x, which == 0   ? exp(v)
             : which == 1 ? sigmoid(v)
             : which == 2 ? tanh(v)
             : which == 3 ? exp_term(v)
                          : gelu(v));
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
#if defined(DECIBAN_DOT_PAIRS)
                         true,
#else
                         false,
#endif
                         pack,
                         pack_pairs,
                         quantise,
                         linear,
                         head,
                         norm_mix,
                         norm,
                         wkv4,
                         wkv5,
                         wkv7,
                         attention_row,
                         attention,
                         function};
}

}  // namespace deciban::cpu
