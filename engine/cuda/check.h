// Every CUDA call is checked: DECIBAN_CUDA(call) throws a sentence naming the call; DECIBAN_LAUNCHED(kernel)
// after a launch.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

namespace deciban::cuda {

// Throws std::runtime_error (OutOfDeviceMemory if that is what happened) unless the call succeeded.
void check(cudaError_t result, const char* call);
void check(cublasStatus_t result, const char* call);

}  // namespace deciban::cuda

#define DECIBAN_CUDA(call) ::deciban::cuda::check((call), #call)
#define DECIBAN_LAUNCHED(kernel) ::deciban::cuda::check(cudaGetLastError(), "launch of " kernel)
