// Launches that overlap with the end of what runs before them in the stream (programmatic dependent launch).
//
// A kernel launched so must call predecessors_done() before it touches memory that an earlier kernel writes
// or reads; what it does before that (setting up, reading weights) runs beside its predecessor.
#pragma once

#include <cuda_runtime.h>

#include <utility>

#include "engine/cuda/check.h"

namespace deciban::cuda {

// Lets the next kernel start setting itself up, and waits until all earlier kernels are done and their memory
// is seen.
__device__ inline void predecessors_done() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\ngriddepcontrol.wait;" ::: "memory");
#endif
}

template <typename... Parameters, typename... Arguments>
void launch_after(void (*kernel)(Parameters...), dim3 grid, unsigned threads, std::size_t shared,
                  cudaStream_t stream, Arguments&&... arguments) {
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = 1;
  DECIBAN_CUDA(cudaLaunchKernelEx(&config, kernel, Parameters(std::forward<Arguments>(arguments))...));
}

}  // namespace deciban::cuda
