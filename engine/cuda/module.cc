// What libdeciban_cuda.so exports, and the backend behind it.
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "deciban_version.h"
#include "engine/cuda/check.h"
#include "engine/cuda/cuda_ops.h"
#include "engine/cuda/gemm90.h"
#include "engine/cuda/module_api.h"
#include "engine/cuda/parameters.h"

namespace deciban::cuda {
namespace {

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const Device& device)
      : device_(device), bytes_(std::make_shared<std::atomic<std::uint64_t>>(0)) {}
  std::string device() const override { return fmt::format("cuda:{}", device_.index); }
  std::string kernels() const override {
    return fmt::format("sm_{}{}{}", device_.major, device_.minor,
                       device_.deterministic ? " deterministic" : "");
  }
  std::unique_ptr<Weight> matrix(const StoredTensor& tensor, NumericMode mode) override {
    use();
    return std::make_unique<CudaWeight>(tensor, mode, bytes_);
  }
  std::unique_ptr<Vector> vector(std::span<const float> values) override {
    use();
    return std::make_unique<CudaVector>(values);
  }
  std::unique_ptr<EmbeddingTable> table(const StoredTensor& tensor) override {
    use();
    return std::make_unique<CudaTable>(tensor, bytes_);
  }
  std::unique_ptr<Ops> open(int) override { return cuda_ops(device_); }
  std::uint64_t weight_bytes() const override { return *bytes_; }
  bool computes_attention() const override { return true; }
  std::string refusal(NumericMode mode) const override {
    if (mode.weights == WeightFormat::f8 || mode.activations == ActivationFormat::f8) {
      if (mode.weights == WeightFormat::f8 && mode.activations != ActivationFormat::f8)
        return "e4m3 weights are computed with e4m3 activations alone";
      if (!has_gemm90(device_.major, device_.minor)) {
        return fmt::format("fp8 is computed by Hopper's cards (sm_90) alone, and this is sm_{}{}",
                           device_.major, device_.minor);
      }
    }
    if (mode.activations == ActivationFormat::i8) return "int8 activations are computed on the CPU alone";
    return {};
  }
  NumericMode computed(NumericMode asked) const override {
    if (asked.activations != ActivationFormat::f32) return asked;
    if (asked.weights == WeightFormat::i8) return {WeightFormat::i8g32, ActivationFormat::bf16};
    return group_of(asked.weights) != 0 ? NumericMode{asked.weights, ActivationFormat::bf16} : asked;
  }
  std::string usual_mode(const std::string& stored) const override {
    return stored == "bf16" || stored == "f16" ? stored + "a" : stored;
  }
  std::size_t activation_budget() const override { return std::size_t{3} << 30; }
  std::size_t state_budget() const override { return std::size_t{4} << 30; }
  std::size_t most_chunk_rows() const override { return 16384; }
  std::optional<std::uint64_t> free_bytes() const override {
    use();
    std::size_t free = 0, total = 0;
    DECIBAN_CUDA(cudaMemGetInfo(&free, &total));
    return free;
  }

 private:
  void use() const { DECIBAN_CUDA(cudaSetDevice(device_.index)); }
  Device device_;
  std::shared_ptr<std::atomic<std::uint64_t>> bytes_;
};

void say(char* error, std::size_t size, const std::string& text) {
  if (size == 0) return;
  const std::size_t length = std::min(size - 1, text.size());
  std::memcpy(error, text.data(), length);
  error[length] = '\0';
}

}  // namespace
}  // namespace deciban::cuda

extern "C" {

DECIBAN_API int deciban_cuda_devices(deciban_cuda_device* out, int most, char* error,
                                     std::size_t error_size) {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result == cudaErrorNoDevice) return 0;
  if (result != cudaSuccess) {
    cudaGetLastError();
    deciban::cuda::say(error, error_size, cudaGetErrorString(result));
    return -1;
  }
  for (int i = 0; i < count && i < most; ++i) {
    cudaDeviceProp properties{};
    std::size_t free = 0, total = 0;
    if (cudaSetDevice(i) != cudaSuccess || cudaGetDeviceProperties(&properties, i) != cudaSuccess ||
        cudaMemGetInfo(&free, &total) != cudaSuccess) {
      deciban::cuda::say(error, error_size,
                         fmt::format("device {}: {}", i, cudaGetErrorString(cudaGetLastError())));
      return -1;
    }
    deciban_cuda_device& d = out[i];
    d = {};
    fmt::format_to_n(d.name, sizeof d.name - 1, "{}", properties.name);
    d.major = properties.major;
    d.minor = properties.minor;
    d.multiprocessors = properties.multiProcessorCount;
    d.total_bytes = total;
    d.free_bytes = free;
  }
  return count;
}

DECIBAN_API deciban::Backend* deciban_cuda_open(const char* build_id, int device, bool deterministic,
                                                char* error, std::size_t error_size) {
  using namespace deciban::cuda;
  try {
    if (std::strcmp(build_id, DECIBAN_BUILD_ID) != 0) {
      say(error, error_size,
          fmt::format("the CUDA module is of build {}, the engine of {}", DECIBAN_BUILD_ID, build_id));
      return nullptr;
    }
    DECIBAN_CUDA(cudaSetDevice(device));
    Device d{.index = device, .deterministic = deterministic};
    DECIBAN_CUDA(cudaDeviceGetAttribute(&d.major, cudaDevAttrComputeCapabilityMajor, device));
    DECIBAN_CUDA(cudaDeviceGetAttribute(&d.minor, cudaDevAttrComputeCapabilityMinor, device));
    DECIBAN_CUDA(cudaDeviceGetAttribute(&d.multiprocessors, cudaDevAttrMultiProcessorCount, device));
    return new CudaBackend(d);
  } catch (const std::exception& e) {
    say(error, error_size, e.what());
    return nullptr;
  }
}
}
