// Layouts of chunks on the device: uploaded when they change, which within a chunk they do not.
#pragma once

#include <vector>

#include "engine/cuda/launch.h"
#include "engine/cuda/memory.h"

namespace deciban::cuda {

class Layouts {
 public:
  explicit Layouts(cudaStream_t stream) : stream_(stream) {}
  DeviceLayout on_device(Layout layout);
  // 0, 1, …, count - 1 on the device.
  std::size_t* identity(std::size_t count);
  // Changes whenever what on_device() or identity() gave out before may be something else now.
  std::uint64_t version() const { return version_; }
  std::uint64_t bytes() const { return buffer_.bytes() + identity_.bytes(); }

 private:
  cudaStream_t stream_;
  std::vector<Piece> current_;
  DeviceLayout on_device_;
  DeviceBuffer buffer_, identity_;
  PinnedBuffer staging_;
  std::uint64_t version_ = 0;
};

}  // namespace deciban::cuda
