#include "engine/cpu/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace deciban::cpu {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kArenaBlock = std::size_t{1} << 20;
constexpr std::size_t kSlab = 16 * kHugePage;

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

}  // namespace

Pages::Pages(std::size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  // Room to align in; what lies around is given back.
  const std::size_t room = bytes >= kHugePage ? kHugePage : 0;
  void* p = mmap(nullptr, bytes + room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) {
    throw std::runtime_error(fmt::format("cannot allocate {:.1f} MiB of memory: {}",
                                         static_cast<double>(bytes) / (1 << 20), std::strerror(errno)));
  }
  data_ = static_cast<std::byte*>(p);
  if (room == 0) return;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));  // 4, 16 or 64 KiB on ARM
  const auto begin = reinterpret_cast<std::uintptr_t>(p);
  const std::size_t before = round_up(begin, kHugePage) - begin;
  const std::size_t behind = (room - before) / page * page;
  std::byte* end = data_ + bytes + room;
  if (before > 0) munmap(p, before);
  data_ += before;
  std::byte* kept = data_ + round_up(bytes, page);
  if (behind > 0 && kept < end) munmap(kept, static_cast<std::size_t>(end - kept));
  madvise(data_, bytes, MADV_HUGEPAGE);  // a wish, not a need
}

Pages::~Pages() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

Pages::Pages(Pages&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Pages& Pages::operator=(Pages&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Slabs::Piece Slabs::allocate(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (slab_ == nullptr || used_ + bytes > slab_->bytes()) {
    slab_ = std::make_shared<const Pages>(std::max(round_up(bytes, kHugePage), kSlab));
    used_ = 0;
  }
  const Piece piece{slab_->data() + used_, slab_};
  used_ += round_up(bytes, 64);
  return piece;
}

void* Arena::allocate(std::size_t bytes) {
  bytes = round_up(bytes, 64);
  while (block_ < blocks_.size() && offset_ + bytes > blocks_[block_].bytes()) {
    ++block_;
    offset_ = 0;
  }
  if (block_ == blocks_.size()) blocks_.emplace_back(std::max(bytes, kArenaBlock));
  void* p = blocks_[block_].data() + offset_;
  offset_ += bytes;
  return p;
}

void Arena::release(std::size_t mark) {
  block_ = mark >> kOffsetBits;
  offset_ = mark & ((std::size_t{1} << kOffsetBits) - 1);
  if (mark == 0 &&
      blocks_.size() > 1) {  // nothing is in use: one block of the size that was needed serves better
    const std::uint64_t total = bytes();
    blocks_.clear();
    blocks_.emplace_back(total);
  }
}

std::uint64_t Arena::bytes() const {
  std::uint64_t total = 0;
  for (const Pages& block : blocks_) total += block.bytes();
  return total;
}

}  // namespace deciban::cpu
