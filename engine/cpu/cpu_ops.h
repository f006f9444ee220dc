// The operations of ops.h on the CPU, over one kernel table.
#pragma once

#include <memory>

#include "engine/cpu/kernels.h"
#include "engine/ops.h"

namespace deciban::cpu {

std::unique_ptr<Ops> cpu_ops(const Kernels& kernels, int threads);

}  // namespace deciban::cpu
