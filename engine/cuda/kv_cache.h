// Keys and values in pages of a device's memory, shared between sequences by reference count, with the table
// of pages that kernels read.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "engine/cuda/kv_layout.h"
#include "engine/cuda/memory.h"
#include "engine/ops.h"

namespace deciban::cuda {

class PagedCache final : public KvCache {
 public:
  // `tile_rows`: of the kernel that reads many rows.  `addresses` is raised when something changes that
  // recorded operations rely on; `beside` counts what all caches of one Ops hold beside pages in use.
  PagedCache(const KvShape& shape, std::size_t slots, int device, int tile_rows, cudaStream_t stream,
             std::shared_ptr<std::uint64_t> addresses, std::shared_ptr<std::atomic<std::uint64_t>> beside);
  ~PagedCache() override;
  PagedCache(const PagedCache&) = delete;
  PagedCache& operator=(const PagedCache&) = delete;

  std::size_t slots() const override { return slots_.size(); }
  std::size_t length(std::size_t slot) const override { return slots_.at(slot).length; }
  void reset(std::size_t slot) override;
  void copy(std::size_t from, std::size_t to) override;
  void reserve(Layout layout) override;
  void advance(Layout layout) override;
  std::uint64_t bytes() const override { return bytes_.load(std::memory_order_relaxed); }

  const KvShape& shape() const { return shape_; }
  Tensor::Type type() const { return type_; }
  // What kernels need for this chunk; uploads it unless reserve() has done so.
  KvView view(Layout layout, std::size_t layer);

 private:
  struct Slot {
    std::size_t length = 0;
    std::vector<int> pages;  // -1: dropped
  };

  int take();
  void drop(int page);
  void account();
  void grow(std::size_t pages);                           // of the pool
  void make_tables(std::size_t pages, std::size_t rows);  // room for so many pages a slot and rows a chunk
  void bind(Layout layout);
  void use() const;

  const KvShape shape_;
  const int device_, tile_rows_;
  cudaStream_t stream_;
  std::shared_ptr<std::uint64_t> addresses_;
  std::shared_ptr<std::atomic<std::uint64_t>> beside_;
  std::uint64_t beside_here_ = 0;  // this cache's part
  Tensor::Type type_;
  int padded_;
  std::size_t head_bytes_, layer_bytes_, page_bytes_;
  std::vector<Slot> slots_;
  std::vector<DeviceBuffer> pool_;
  std::vector<std::byte*> at_;  // of each page
  std::vector<int> shared_by_;  // sequences, of each page
  std::vector<int> free_;
  std::atomic<std::uint64_t> bytes_{0};

  // On the device: table_[slots][page_stride_]; then what changes with the chunk.
  DeviceBuffer table_, chunk_, counters_;
  PinnedBuffer host_table_, host_chunk_;
  std::size_t page_stride_ = 0, row_room_ = 0, tile_room_ = 0;
  std::size_t first_changed_ = SIZE_MAX, last_changed_ = 0;  // slots whose pages the device does not know
  std::vector<Piece> bound_;                                 // the layout that the device knows; empty: none
  std::size_t bound_tiles_ = 0, most_pages_ = 0;
  cudaEvent_t uploaded_ = nullptr;  // the host's buffers may be written again
};

}  // namespace deciban::cuda
