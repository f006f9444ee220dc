#include "engine/cuda/layout.h"

#include <algorithm>
#include <numeric>

#include "engine/cuda/check.h"

namespace deciban::cuda {
namespace {

bool same(const Piece& a, const Piece& b) { return a.row == b.row && a.count == b.count && a.slot == b.slot; }

}  // namespace

DeviceLayout Layouts::on_device(Layout layout) {
  if (!current_.empty() && std::equal(layout.begin(), layout.end(), current_.begin(), current_.end(), same)) {
    return on_device_;
  }
  current_.assign(layout.begin(), layout.end());
  ++version_;
  const std::size_t rows = layout.empty() ? 0 : layout.back().row + layout.back().count;
  const std::size_t bytes = layout.size() * sizeof(int4) + rows * sizeof(int);
  if (buffer_.bytes() < bytes) {
    DECIBAN_CUDA(cudaStreamSynchronize(stream_));
    buffer_ = DeviceBuffer(bytes * 2, "a chunk's layout");
    staging_ = PinnedBuffer(bytes * 2);
  }
  DECIBAN_CUDA(cudaStreamSynchronize(stream_));  // nobody copies from the staging memory any more
  auto* table = staging_.as<int4>();
  auto* starts = reinterpret_cast<int*>(table + layout.size());
  std::fill(starts, starts + rows, -1);
  bool singles = true;
  for (std::size_t i = 0; i < layout.size(); ++i) {
    const Piece& piece = layout[i];
    const int slot = static_cast<int>(piece.slot);
    table[i] = {static_cast<int>(piece.row), static_cast<int>(piece.count), slot, 0};
    starts[piece.row] = slot;
    singles &= piece.count == 1;
  }
  // Blocks start in this order: the longest first, so that no straggler begins last.
  std::stable_sort(table, table + layout.size(), [](const int4& a, const int4& b) { return a.y > b.y; });
  DECIBAN_CUDA(cudaMemcpyAsync(buffer_.data(), table, bytes, cudaMemcpyHostToDevice, stream_));
  auto* device = buffer_.as<int4>();
  auto* device_starts = reinterpret_cast<int*>(device + layout.size());
  on_device_ = {rows, layout.size(), singles, device_starts, device};
  return on_device_;
}

std::size_t* Layouts::identity(std::size_t count) {
  if (identity_.bytes() < count * sizeof(std::size_t)) {
    std::vector<std::size_t> values(std::max<std::size_t>(2 * count, 1024));
    std::iota(values.begin(), values.end(), 0);
    DECIBAN_CUDA(cudaStreamSynchronize(stream_));
    identity_ = DeviceBuffer(values.size() * sizeof(std::size_t), "row numbers");
    // In our own stream: it would not wait for a copy in the default one.
    DECIBAN_CUDA(
        cudaMemcpyAsync(identity_.data(), values.data(), identity_.bytes(), cudaMemcpyHostToDevice, stream_));
    DECIBAN_CUDA(cudaStreamSynchronize(stream_));  // the values go
    ++version_;
  }
  return identity_.as<std::size_t>();
}

}  // namespace deciban::cuda
