// Memory of one device and pinned memory of the host, owned; the arena of one stream.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace deciban::cuda {

// Bytes on the current device.  Throws OutOfDeviceMemory naming the purpose, what was asked for and what is
// free.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(std::size_t bytes, const char* purpose);
  ~DeviceBuffer();
  DeviceBuffer(DeviceBuffer&& other) noexcept { swap(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    swap(other);
    return *this;
  }
  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  void swap(DeviceBuffer& other) noexcept;
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  int device_ = 0;
};

// Page-locked host memory: copies from and to it run beside the host.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  explicit PinnedBuffer(std::size_t bytes);
  ~PinnedBuffer();
  PinnedBuffer(PinnedBuffer&& other) noexcept { swap(other); }
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    swap(other);
    return *this;
  }
  std::size_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void swap(PinnedBuffer& other) noexcept;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Bump allocation in large blocks, which stay where they are: the same calls after release(0) get the same
// addresses.
class Arena {
 public:
  std::byte* allocate(std::size_t bytes);  // 256-byte aligned
  std::size_t mark() const { return used_; }
  void release(std::size_t mark) { used_ = mark; }
  std::uint64_t bytes() const;

 private:
  struct Block {
    DeviceBuffer buffer;
    std::size_t first;  // place of its first byte in the arena's counting
  };
  std::vector<Block> blocks_;
  std::size_t used_ = 0;
};

}  // namespace deciban::cuda
