#include "engine/cuda/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/cuda/check.h"
#include "engine/ops.h"

namespace deciban::cuda {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kLeastBlock = std::size_t{64} << 20;

double mib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

}  // namespace

void check(cudaError_t result, const char* call) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // not to be met again by the next call
  const std::string text =
      fmt::format("CUDA: {}: {} ({})", call, cudaGetErrorString(result), cudaGetErrorName(result));
  if (result == cudaErrorMemoryAllocation) throw OutOfDeviceMemory(text);
  throw std::runtime_error(text);
}

void check(cublasStatus_t result, const char* call) {
  if (result == CUBLAS_STATUS_SUCCESS) return;
  throw std::runtime_error(fmt::format("cuBLASLt: {}: {}", call, cublasLtGetStatusString(result)));
}

DeviceBuffer::DeviceBuffer(std::size_t bytes, const char* purpose) : bytes_(bytes) {
  DECIBAN_CUDA(cudaGetDevice(&device_));
  const cudaError_t result = cudaMalloc(reinterpret_cast<void**>(&data_), std::max<std::size_t>(bytes, 1));
  if (result == cudaSuccess) return;
  data_ = nullptr;
  if (result != cudaErrorMemoryAllocation) check(result, "cudaMalloc");
  cudaGetLastError();
  std::size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  throw OutOfDeviceMemory(fmt::format("device {} has {:.0f} MiB free, too little for {:.0f} MiB of {}",
                                      device_, mib(free), mib(bytes), purpose));
}

DeviceBuffer::~DeviceBuffer() {
  if (data_ == nullptr) return;
  int current = 0;
  cudaGetDevice(&current);
  if (current != device_) cudaSetDevice(device_);
  cudaFree(data_);  // waits for work that uses it; a failure here was reported where it arose
  if (current != device_) cudaSetDevice(current);
}

void DeviceBuffer::swap(DeviceBuffer& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(device_, other.device_);
}

PinnedBuffer::PinnedBuffer(std::size_t bytes) : bytes_(bytes) {
  DECIBAN_CUDA(cudaMallocHost(&data_, std::max<std::size_t>(bytes, 1)));
}
PinnedBuffer::~PinnedBuffer() {
  if (data_ != nullptr) cudaFreeHost(data_);
}
void PinnedBuffer::swap(PinnedBuffer& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
}

std::byte* Arena::allocate(std::size_t bytes) {
  bytes = (std::max<std::size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  std::size_t end = 0;
  for (Block& block : blocks_) {
    end = block.first + block.buffer.bytes();
    const std::size_t at = std::max(used_, block.first);
    if (at + bytes > end) continue;
    used_ = at + bytes;
    return block.buffer.data() + (at - block.first);
  }
  // Blocks grow, so that a large workspace ends in few of them.
  const std::size_t size = std::max({bytes, kLeastBlock, std::min<std::size_t>(end / 2, kLeastBlock * 8)});
  DeviceBuffer buffer(size, "activations");
  std::byte* data = buffer.data();
  blocks_.push_back({std::move(buffer), end});
  used_ = end + bytes;
  return data;
}

std::uint64_t Arena::bytes() const {
  std::uint64_t total = 0;
  for (const Block& block : blocks_) total += block.buffer.bytes();
  return total;
}

}  // namespace deciban::cuda
