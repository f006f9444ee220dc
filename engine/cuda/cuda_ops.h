// The operations of ops.h on one stream of one device.
#pragma once

#include <memory>

#include "engine/ops.h"

namespace deciban::cuda {

struct Device {
  int index = 0;
  int major = 0, minor = 0, multiprocessors = 0;
  bool deterministic = false;  // one algorithm and tile a weight, whatever the rows
};

std::unique_ptr<Ops> cuda_ops(const Device& device);

}  // namespace deciban::cuda
