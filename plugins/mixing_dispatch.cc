// Which of the tables of mixing_kernels.cc a backend's instruction set calls for.
#include "plugins/mixing_kernels.h"

namespace deciban {

#if defined(__aarch64__)

extern "C" {
extern const MixingKernels kernels_mixing_neon;
}

const MixingKernels& mixing_kernels(const std::string&) { return kernels_mixing_neon; }

#else

extern "C" {
extern const MixingKernels kernels_mixing_baseline, kernels_mixing_avx2, kernels_mixing_avx512;
}

const MixingKernels& mixing_kernels(const std::string& isa) {
  if (isa.starts_with("avx512")) return kernels_mixing_avx512;
  return isa == kernels_mixing_avx2.name ? kernels_mixing_avx2 : kernels_mixing_baseline;
}

#endif

}  // namespace deciban
