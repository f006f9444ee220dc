// The kernel tables of the architecture that the program was compiled for: isas_x86.cc or isas_aarch64.cc, of
// which the build takes one.
#pragma once

#include <span>

#include "engine/cpu/kernels.h"

namespace deciban::cpu {

struct Isa {
  const Kernels* kernels;
  bool (*supported)();  // by the CPU and the system that the program runs on
};

// Best last; the first is supported everywhere.
std::span<const Isa> isas();

}  // namespace deciban::cpu
