#include "engine/cpu/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace deciban::cpu {
namespace {

// Pages kept for the next sequence, besides a quarter of those in use.
constexpr std::size_t kSpare = 8;

std::size_t pages_of(std::size_t tokens) { return (tokens + KvCache::kPage - 1) / KvCache::kPage; }

}  // namespace

PagedCache::PagedCache(const KvShape& shape, std::size_t slots)
    : shape_(shape),
      bf16_(Ops::product_type(shape.format) == Tensor::Type::bf16),
      padded_((shape.head_size + 15) / 16 * 16),
      head_bytes_((shape.head_size + padded_) * kPage * (bf16_ ? 2 : 4)),
      layer_bytes_(shape.kv_heads * head_bytes_),
      slots_(slots) {
  if (shape.head_size % 2 != 0) throw std::logic_error("kv cache: an odd head size");
}

PagedCache::Page PagedCache::take() {
  ++in_use_;
  if (spare_.empty()) return std::make_shared<const Pages>(shape_.layers * layer_bytes_);
  Page page = std::move(spare_.back());
  spare_.pop_back();
  std::memset(page->data(), 0, page->bytes());
  return page;
}

void PagedCache::drop(Page& page) {
  if (page != nullptr && page.use_count() == 1) {
    --in_use_;
    spare_.push_back(std::move(page));
  }
  page.reset();
}

void PagedCache::account() {
  if (const std::size_t most = kSpare + in_use_ / 4; spare_.size() > most) spare_.resize(most);
  bytes_.store((in_use_ + spare_.size()) * shape_.layers * layer_bytes_, std::memory_order_relaxed);
}

void PagedCache::reset(std::size_t slot) {
  Slot& s = slots_.at(slot);
  for (Page& page : s.pages) drop(page);
  s.pages.clear();
  s.length = 0;
  account();
}

void PagedCache::copy(std::size_t from, std::size_t to) {
  if (from == to) return;
  const Slot& source = slots_.at(from);
  const std::size_t full = source.length / kPage;
  Page last;
  if (source.length % kPage != 0) {
    last = take();
    std::memcpy(last->data(), source.pages[full]->data(), last->bytes());
  }
  reset(to);
  Slot& target = slots_[to];
  target.pages.assign(source.pages.begin(), source.pages.begin() + static_cast<std::ptrdiff_t>(full));
  if (last != nullptr) target.pages.push_back(std::move(last));
  target.length = source.length;
  account();
}

void PagedCache::reserve(Layout layout) {
  for (const Piece& piece : layout) {
    Slot& s = slots_.at(piece.slot);
    while (s.pages.size() < pages_of(s.length + piece.count)) s.pages.push_back(take());
  }
  account();
}

void PagedCache::advance(Layout layout) {
  for (const Piece& piece : layout) {
    Slot& s = slots_.at(piece.slot);
    s.length += piece.count;
    if (shape_.window == 0 || s.length + 1 < shape_.window + kPage) continue;
    // The next token sees position length - window + 1 and what follows.
    const std::size_t unseen = (s.length + 1 - shape_.window) / kPage;
    for (std::size_t p = unseen; p-- > 0 && s.pages[p] != nullptr;) drop(s.pages[p]);
  }
  account();
}

std::vector<const std::byte*> PagedCache::pages(std::size_t slot) const {
  std::vector<const std::byte*> list;
  for (const Page& page : slots_[slot].pages) list.push_back(page != nullptr ? page->data() : nullptr);
  return list;
}

}  // namespace deciban::cpu
