#include "engine/cuda/kv_cache.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>

#include "engine/cuda/check.h"

namespace deciban::cuda {
namespace {

constexpr std::size_t kLeastGrowth = std::size_t{64} << 20;

std::size_t pages_of(std::size_t tokens) { return (tokens + KvCache::kPage - 1) / KvCache::kPage; }
bool same(const Piece& a, const Piece& b) { return a.row == b.row && a.count == b.count && a.slot == b.slot; }

}  // namespace

PagedCache::PagedCache(const KvShape& shape, std::size_t slots, int device, int tile_rows,
                       cudaStream_t stream, std::shared_ptr<std::uint64_t> addresses,
                       std::shared_ptr<std::atomic<std::uint64_t>> beside)
    : shape_(shape),
      device_(device),
      tile_rows_(tile_rows),
      stream_(stream),
      addresses_(std::move(addresses)),
      beside_(std::move(beside)),
      type_(Ops::product_type(shape.format)),
      padded_(padded_channels(static_cast<int>(shape.head_size), type_ != Tensor::Type::f32)),
      head_bytes_(2 * kPage * static_cast<std::size_t>(padded_) * Tensor::element_bytes(type_)),
      layer_bytes_(shape.kv_heads * head_bytes_),
      page_bytes_(shape.layers * layer_bytes_),
      slots_(slots) {
  if (shape.head_size % 2 != 0) throw std::logic_error("kv cache: an odd head size");
  use();
  counters_ = DeviceBuffer(slots * shape.kv_heads * kStepCounters * sizeof(int), "counters of steps");
  DECIBAN_CUDA(cudaMemsetAsync(counters_.data(), 0, counters_.bytes(), stream_));
  DECIBAN_CUDA(cudaEventCreateWithFlags(&uploaded_, cudaEventDisableTiming));
}

PagedCache::~PagedCache() {
  cudaSetDevice(device_);
  cudaEventDestroy(uploaded_);
  beside_->fetch_sub(beside_here_, std::memory_order_relaxed);
}

void PagedCache::use() const { DECIBAN_CUDA(cudaSetDevice(device_)); }

int PagedCache::take() {
  const int page = free_.back();
  free_.pop_back();
  shared_by_[static_cast<std::size_t>(page)] = 1;
  return page;
}

void PagedCache::drop(int page) {
  if (page >= 0 && --shared_by_[static_cast<std::size_t>(page)] == 0) free_.push_back(page);
}

void PagedCache::account() {
  bytes_.store((at_.size() - free_.size()) * page_bytes_, std::memory_order_relaxed);
  const std::uint64_t beside =
      free_.size() * page_bytes_ + table_.bytes() + chunk_.bytes() + counters_.bytes();
  beside_->fetch_add(beside - beside_here_, std::memory_order_relaxed);  // unsigned: may fall too
  beside_here_ = beside;
}

// More than is asked for, if there is room, so that a growing sequence seldom waits for memory.
void PagedCache::grow(std::size_t pages) {
  std::size_t count = std::max({pages, at_.size() / 2, kLeastGrowth / page_bytes_});
  DeviceBuffer buffer;
  for (;; count = pages) {
    try {
      buffer = DeviceBuffer(count * page_bytes_, "keys and values");
      break;
    } catch (const OutOfDeviceMemory&) {
      if (count == pages) throw;
    }
  }
  for (std::size_t i = count; i-- > 0;) free_.push_back(static_cast<int>(at_.size() + i));
  for (std::size_t i = 0; i < count; ++i) at_.push_back(buffer.data() + i * page_bytes_);
  shared_by_.resize(at_.size(), 0);
  pool_.push_back(std::move(buffer));
}

void PagedCache::make_tables(std::size_t pages, std::size_t rows) {
  const std::size_t tiles = rows / static_cast<std::size_t>(tile_rows_) + std::min(rows, slots_.size()) + 1;
  if (pages > page_stride_) {
    const std::size_t stride = std::bit_ceil(std::max<std::size_t>(pages, 16));
    DeviceBuffer table(slots_.size() * stride * sizeof(std::byte*), "the table of pages");
    PinnedBuffer host(table.bytes());
    DECIBAN_CUDA(cudaStreamSynchronize(stream_));
    table_ = std::move(table);
    host_table_ = std::move(host);
    page_stride_ = stride;
    first_changed_ = 0;  // all of it
    last_changed_ = slots_.size() - 1;
    bound_.clear();
    ++*addresses_;
  }
  if (rows > row_room_ || tiles > tile_room_) {
    const std::size_t row_room = 2 * rows, tile_room = 2 * tiles;
    DeviceBuffer chunk(row_room * sizeof(int2) + tile_room * sizeof(int4), "a chunk's places");
    PinnedBuffer host(chunk.bytes());
    DECIBAN_CUDA(cudaStreamSynchronize(stream_));
    chunk_ = std::move(chunk);
    host_chunk_ = std::move(host);
    row_room_ = row_room;
    tile_room_ = tile_room;
    bound_.clear();
    ++*addresses_;
  }
}

void PagedCache::reset(std::size_t slot) {
  Slot& s = slots_.at(slot);
  for (const int page : s.pages) drop(page);
  s.pages.clear();
  s.length = 0;
  bound_.clear();
  account();
}

void PagedCache::copy(std::size_t from, std::size_t to) {
  if (from == to) return;
  const Slot& source = slots_.at(from);
  slots_.at(to);
  const std::size_t full = source.length / kPage;
  int last = -1;
  if (source.length % kPage != 0) {
    use();
    if (free_.empty()) grow(1);
    last = take();
    DECIBAN_CUDA(cudaMemcpyAsync(at_[static_cast<std::size_t>(last)],
                                 at_[static_cast<std::size_t>(source.pages[full])], page_bytes_,
                                 cudaMemcpyDeviceToDevice, stream_));
  }
  reset(to);
  Slot& target = slots_[to];
  target.pages.assign(source.pages.begin(), source.pages.begin() + static_cast<std::ptrdiff_t>(full));
  for (const int page : target.pages) {
    if (page >= 0) ++shared_by_[static_cast<std::size_t>(page)];
  }
  if (last >= 0) target.pages.push_back(last);
  target.length = source.length;
  first_changed_ = std::min(first_changed_, to);
  last_changed_ = std::max(last_changed_, to);
  account();
}

void PagedCache::reserve(Layout layout) {
  use();
  std::size_t needed = 0, most = 0, rows = 0;
  for (const Piece& piece : layout) {
    const Slot& s = slots_.at(piece.slot);
    const std::size_t pages = pages_of(s.length + piece.count);
    needed += pages > s.pages.size() ? pages - s.pages.size() : 0;
    most = std::max(most, pages);
    rows += piece.count;
  }
  // All that may fail comes before anything changes.
  if (needed > free_.size()) grow(needed - free_.size());
  make_tables(most, rows);
  for (const Piece& piece : layout) {
    Slot& s = slots_[piece.slot];
    const std::size_t end = s.length + piece.count;
    bool changed = false;
    while (s.pages.size() < pages_of(end)) {
      s.pages.push_back(take());
      changed = true;
    }
    // What nobody writes to must be finite: weights of zero do not make more of it.
    const std::size_t last = end / kPage;
    if (end % kPage != 0 && s.length <= last * kPage) {
      DECIBAN_CUDA(cudaMemsetAsync(at_[static_cast<std::size_t>(s.pages[last])], 0, page_bytes_, stream_));
    }
    if (!changed) continue;
    first_changed_ = std::min(first_changed_, piece.slot);
    last_changed_ = std::max(last_changed_, piece.slot);
  }
  bound_.clear();
  bind(layout);
  account();
}

void PagedCache::advance(Layout layout) {
  for (const Piece& piece : layout) {
    Slot& s = slots_.at(piece.slot);
    s.length += piece.count;
    if (shape_.window == 0 || s.length + 1 < shape_.window + kPage) continue;
    // The next token sees position length - window + 1 and what follows.
    const std::size_t unseen = (s.length + 1 - shape_.window) / kPage;
    for (std::size_t p = unseen; p-- > 0 && s.pages[p] >= 0;) {
      drop(s.pages[p]);
      s.pages[p] = -1;
      first_changed_ = std::min(first_changed_, piece.slot);
      last_changed_ = std::max(last_changed_, piece.slot);
    }
  }
  bound_.clear();
  account();
}

// Brings the device up to date with the pages of all slots and with this chunk's places.
void PagedCache::bind(Layout layout) {
  if (!bound_.empty() && std::equal(layout.begin(), layout.end(), bound_.begin(), bound_.end(), same)) return;
  use();
  DECIBAN_CUDA(cudaEventSynchronize(uploaded_));
  if (first_changed_ <= last_changed_) {
    auto* table = host_table_.as<std::byte*>();
    for (std::size_t slot = first_changed_; slot <= last_changed_; ++slot) {
      const std::vector<int>& pages = slots_[slot].pages;
      if (pages.empty() || pages.back() < 0) continue;  // all dropped: a page comes with the next tokens
      // Whole tiles are read: where a page was dropped, any other will do.
      std::byte** row = table + slot * page_stride_;
      std::byte* any = at_[static_cast<std::size_t>(pages.back())];
      for (std::size_t p = 0; p < pages.size(); ++p) {
        row[p] = pages[p] >= 0 ? at_[static_cast<std::size_t>(pages[p])] : any;
      }
    }
    const std::size_t first = first_changed_ * page_stride_ * sizeof(std::byte*);
    const std::size_t bytes = (last_changed_ + 1 - first_changed_) * page_stride_ * sizeof(std::byte*);
    DECIBAN_CUDA(cudaMemcpyAsync(table_.data() + first, host_table_.as<std::byte>() + first, bytes,
                                 cudaMemcpyHostToDevice, stream_));
    first_changed_ = SIZE_MAX;
    last_changed_ = 0;
  }
  auto* tiles = host_chunk_.as<int4>();
  auto* rows = reinterpret_cast<int2*>(tiles + tile_room_);
  std::size_t tile = 0, row = 0, most = 0;
  // Tiles of a sequence side by side, as they read the same keys; long sequences first, and of each its last
  // and heaviest tiles, so that blocks end together.
  std::vector<std::pair<int, std::size_t>> order;  // minus the end, and which piece
  for (std::size_t i = 0; i < layout.size(); ++i) {
    const Slot& s = slots_[layout[i].slot];
    order.emplace_back(-static_cast<int>(s.length + layout[i].count), i);
    most = std::max(most, s.pages.size());
    for (std::size_t t = 0; t < layout[i].count; ++t) {
      rows[row++] = {static_cast<int>(layout[i].slot), static_cast<int>(s.length + t)};
    }
  }
  std::sort(order.begin(), order.end());
  for (const auto& [end, i] : order) {
    const Piece& piece = layout[i];
    const int slot = static_cast<int>(piece.slot), count = static_cast<int>(piece.count);
    if (count == 0) continue;
    for (int t = (count - 1) / tile_rows_ * tile_rows_; t >= 0; t -= tile_rows_) {
      tiles[tile++] = {static_cast<int>(piece.row) + t, std::min(tile_rows_, count - t), slot,
                       -end - count + t};
    }
  }
  DECIBAN_CUDA(cudaMemcpyAsync(chunk_.data(), tiles, tile_room_ * sizeof(int4) + row * sizeof(int2),
                               cudaMemcpyHostToDevice, stream_));
  DECIBAN_CUDA(cudaEventRecord(uploaded_, stream_));
  bound_.assign(layout.begin(), layout.end());
  bound_tiles_ = tile;
  if (const std::size_t bucket = std::bit_ceil(std::max<std::size_t>(most, 1)); bucket != most_pages_) {
    most_pages_ = bucket;
    ++*addresses_;
  }
}

KvView PagedCache::view(Layout layout, std::size_t layer) {
  bind(layout);
  KvView v;
  v.pages = table_.as<std::byte*>();
  v.page_stride = static_cast<int>(page_stride_);
  v.tiles = chunk_.as<int4>();
  v.rows = reinterpret_cast<const int2*>(v.tiles + tile_room_);
  v.tile_count = static_cast<int>(bound_tiles_);
  v.counters = counters_.as<int>();
  v.most_pages = static_cast<int>(most_pages_);
  v.offset = layer * layer_bytes_;
  v.head_bytes = static_cast<int>(head_bytes_);
  v.value_offset = static_cast<int>(head_bytes_ / 2);
  v.size = static_cast<int>(shape_.head_size);
  v.padded = padded_;
  v.type = type_;
  return v;
}

}  // namespace deciban::cuda
