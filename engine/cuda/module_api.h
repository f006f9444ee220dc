// What the CUDA module (libdeciban_cuda.so) exports and the engine looks up after dlopen.  Both sides include
// this header, and both must be of one build: C++ objects cross the border.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/ops.h"

extern "C" {

struct deciban_cuda_device {
  char name[128];    // "NVIDIA H100 80GB HBM3"
  int major, minor;  // compute capability
  int multiprocessors;
  std::uint64_t total_bytes, free_bytes;
};

// Fills at most `most` devices and returns how many there are, or -1 with a sentence in `error` (no driver, a
// driver too old, …).
using deciban_cuda_devices_fn = int(deciban_cuda_device* out, int most, char* error, std::size_t error_size);

// A backend on one device, owned by the caller (delete), or null with a sentence in `error`.  `build_id` must
// be the engine's (deciban_version.h's full description): another build's module is refused.
// `deterministic`: one algorithm and tile a weight, whatever the rows of a call.
using deciban_cuda_open_fn = deciban::Backend*(const char* build_id, int device, bool deterministic,
                                               char* error, std::size_t error_size);
}
