// The bytes that a checkpoint reader works on: a file mapped read-only, or memory of our own; and the small
// tools for reading hostile binary data that every reader shares.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "engine/export.h"

namespace deciban {

static_assert(std::endian::native == std::endian::little, "checkpoints are little-endian, and read in place");

struct FileBytes {
  std::filesystem::path path;        // for messages
  std::span<const std::byte> bytes;  // stays valid as long as `owner` lives
  std::shared_ptr<const void> owner;
  bool mapped = false;  // pages come from a file and may be dropped

  // Throws std::runtime_error("PATH: REASON").
  [[noreturn]] void fail(std::string_view reason) const;
};

// Maps a regular file.  Throws std::runtime_error if it is missing, unreadable, empty or not a regular file.
// A file that another process truncates while it is mapped makes later reads fail with SIGBUS: nothing can
// check that.
DECIBAN_API FileBytes map_file(const std::filesystem::path& path);

// The same for bytes in memory, which are copied; `name` stands for the path in messages.
DECIBAN_API FileBytes memory_file(std::string name, std::span<const std::byte> bytes);

// Text of a stranger for a message: in quotes, control and non-ASCII bytes escaped, cut after 100 characters.
DECIBAN_API std::string in_quotes(std::string_view text);

// Tensors, archive entries or metadata of one file: far above any model, low enough that a hostile file of
// gigabytes cannot take many times its size in memory.
constexpr std::size_t kMostEntries = std::size_t{1} << 20;

// a * b and a + b of sizes from a file; throw std::overflow_error where they do not fit.
inline std::size_t checked_product(std::size_t a, std::size_t b) {
  std::size_t result;
  if (__builtin_mul_overflow(a, b, &result)) throw std::overflow_error("size overflows 64 bits");
  return result;
}
inline std::size_t checked_sum(std::size_t a, std::size_t b) {
  std::size_t result;
  if (__builtin_add_overflow(a, b, &result)) throw std::overflow_error("size overflows 64 bits");
  return result;
}

// Reads little-endian values one after the other; every read past the end throws, naming what was read and
// where.
class ByteCursor {
 public:
  explicit ByteCursor(const FileBytes& file) : ByteCursor(file, 0, file.bytes.size()) {}
  // Only the bytes [begin, end) of the file, which must exist.
  ByteCursor(const FileBytes& file, std::size_t begin, std::size_t end)
      : file_(file), at_(begin), end_(end) {}

  std::size_t position() const { return at_; }  // in the file
  std::size_t left() const { return end_ - at_; }
  std::span<const std::byte> take(std::size_t count, std::string_view what);
  std::string_view text(std::size_t count, std::string_view what);
  // Up to the next line feed, which is eaten and not returned.
  std::string_view line(std::string_view what);
  template <class T>
  T get(std::string_view what) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

 private:
  const FileBytes& file_;
  std::size_t at_, end_;
};

}  // namespace deciban
