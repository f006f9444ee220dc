#include "engine/cpu/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace deciban::cpu {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kArenaBlock = std::size_t{1} << 20;

}  // namespace

Pages::Pages(std::size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) {
    throw std::runtime_error(fmt::format("cannot allocate {:.1f} MiB of memory: {}",
                                         static_cast<double>(bytes) / (1 << 20), std::strerror(errno)));
  }
  data_ = static_cast<std::byte*>(p);
  if (bytes >= 4 * kHugePage) madvise(p, bytes, MADV_HUGEPAGE);  // a wish, not a need
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

void* Arena::allocate(std::size_t bytes) {
  bytes = (bytes + 63) / 64 * 64;
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
