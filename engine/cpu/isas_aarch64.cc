#include <asm/hwcap.h>
#include <sys/auxv.h>

#include "engine/cpu/isas.h"

namespace deciban::cpu {

extern "C" {
extern const Kernels kernels_neon, kernels_neon_dot, kernels_neon_bf16;
}

namespace {

bool has_dot() { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
bool has_bf16() { return (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0; }

const Isa kIsas[] = {
    {&kernels_neon, [] { return true; }},
    {&kernels_neon_dot, has_dot},
    {&kernels_neon_bf16, [] { return has_dot() && has_bf16(); }},
};

}  // namespace

std::span<const Isa> isas() { return kIsas; }

}  // namespace deciban::cpu
