// The mixers of one instruction set: what mixers.cc exports each time it is compiled (bench/CMakeLists.txt).
#pragma once

#include <memory>
#include <string_view>

#include "bench/mixers/mixer.h"

namespace deciban {

struct MixerKernels {
  const char* name;                                       // of the instruction set
  std::unique_ptr<Mixer> (*make)(std::string_view name);  // null for an unknown one
};

extern "C" {
// Those of the architecture that is compiled for.
extern const MixerKernels kernels_mixers_baseline, kernels_mixers_avx2, kernels_mixers_avx512;
extern const MixerKernels kernels_mixers_neon;
}

}  // namespace deciban
