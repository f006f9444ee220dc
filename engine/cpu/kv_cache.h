// Keys and values in pages of ordinary memory, shared between sequences by reference count.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "engine/cpu/memory.h"
#include "engine/ops.h"

namespace deciban::cpu {

// A page holds kPage tokens of all layers (layout: AttentionRowArgs of kernels.h).  The last page of a
// sequence, unless full, belongs to it alone.
class PagedCache final : public KvCache {
 public:
  PagedCache(const KvShape& shape, std::size_t slots);
  std::size_t slots() const override { return slots_.size(); }
  std::size_t length(std::size_t slot) const override { return slots_.at(slot).length; }
  void reset(std::size_t slot) override;
  void copy(std::size_t from, std::size_t to) override;
  void reserve(Layout layout) override;
  void advance(Layout layout) override;
  std::uint64_t bytes() const override { return bytes_.load(std::memory_order_relaxed); }

  const KvShape& shape() const { return shape_; }
  bool bf16() const { return bf16_; }
  std::size_t padded() const { return padded_; }
  std::size_t head_bytes() const { return head_bytes_; }    // one head's keys and values in a page
  std::size_t layer_bytes() const { return layer_bytes_; }  // of a page
  // The pages of a sequence, null where they were dropped.
  std::vector<const std::byte*> pages(std::size_t slot) const;
  std::byte* page(std::size_t slot, std::size_t index) const { return slots_[slot].pages[index]->data(); }

 private:
  using Page = std::shared_ptr<const Pages>;
  struct Slot {
    std::size_t length = 0;
    std::vector<Page> pages;
  };

  Page take();            // zeroed: what was there may not have been finite
  void drop(Page& page);  // to the spare ones, if nobody else has it
  void account();

  const KvShape shape_;
  bool bf16_;
  std::size_t padded_, head_bytes_, layer_bytes_;
  std::vector<Slot> slots_;
  std::vector<Page> spare_;
  std::size_t in_use_ = 0;  // pages, each counted once
  std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace deciban::cpu
