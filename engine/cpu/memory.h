// Page-aligned memory for weights, states and activations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace deciban::cpu {

// Zeroed anonymous memory; from 2 MiB on aligned to huge pages, and on them where the system has them.
// Movable; frees itself.
class Pages {
 public:
  Pages() = default;
  explicit Pages(std::size_t bytes);  // throws std::runtime_error naming the size
  ~Pages();
  Pages(Pages&& other) noexcept;
  Pages& operator=(Pages&& other) noexcept;
  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Memory for many arrays that live about as long as each other: packed weights.  They share large blocks, so
// that small ones lie on huge pages too (reading weights from 4 KiB pages was a fifth slower).  Thread-safe.
class Slabs {
 public:
  struct Piece {
    std::byte* data = nullptr;
    std::shared_ptr<const Pages> slab;  // freed with the last piece of it
  };
  Piece allocate(std::size_t bytes);  // zeroed, 64-byte aligned

 private:
  std::mutex mutex_;
  std::shared_ptr<const Pages> slab_;  // the one in use
  std::size_t used_ = 0;
};

// A stack of 64-byte aligned allocations that grows and is never given back before it dies.
class Arena {
 public:
  void* allocate(std::size_t bytes);
  std::size_t mark() const { return (block_ << kOffsetBits) | offset_; }
  void release(std::size_t mark);
  std::uint64_t bytes() const;

 private:
  static constexpr int kOffsetBits = 40;
  std::vector<Pages> blocks_;
  std::size_t block_ = 0, offset_ = 0;
};

}  // namespace deciban::cpu
