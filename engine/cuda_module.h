// The way to the CUDA backend: libdeciban_cuda.so, opened when a device is asked for, so that programs run
// where there is no CUDA at all.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/export.h"

namespace deciban {

class Backend;  // engine/ops.h

struct CudaDevice {
  std::string name;          // "NVIDIA H100 80GB HBM3"
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  std::uint64_t total_bytes = 0, free_bytes = 0;
};

// The module is the file that $DECIBAN_CUDA_MODULE names ("none": as if there were none), else the one beside
// libdeciban_engine.so.  Once opened it stays open.
//
// All devices, by index.  Throws std::runtime_error saying what is missing: the module, cuBLASLt, a driver, a
// device.
DECIBAN_API std::vector<CudaDevice> cuda_devices();

// Whether cuda_devices() would find one.
DECIBAN_API bool cuda_available();

// A backend on one device.  `deterministic`: results do not depend on what shares a call (ModelOptions).
// Throws as cuda_devices(), and for an index that no device has.
DECIBAN_API std::unique_ptr<Backend> cuda_backend(int device, bool deterministic);

}  // namespace deciban
