// The short pieces of one text that were merged already, and where their tokens stand: most words come again
// and again.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace deciban {

// Lives for one call of encode(), so that it needs no lock and no bound on its age.  Direct-mapped: a piece
// that falls on another's place takes it.
class PieceCache {
 public:
  static constexpr std::size_t kMostBytes = 23;

  struct Entry {
    std::uint64_t key[3] = {};  // the piece's bytes, then zeros; the last byte is the length, 0 if empty
    std::uint32_t first = 0, count = 0;  // its tokens in the result so far
  };

  explicit PieceCache(std::size_t text_bytes)
      : entries_(std::clamp<std::size_t>(std::bit_ceil(text_bytes / 8 + 1), 16, 8192)) {}

  // Where the piece belongs, or null if it is not to be remembered.
  Entry* entry(std::string_view piece) {
    if (piece.empty() || piece.size() > kMostBytes) return nullptr;
    load(piece);
    std::uint64_t hash = key_[0] * 0x9E3779B97F4A7C15u;
    hash = (hash ^ hash >> 29 ^ key_[1]) * 0xBF58476D1CE4E5B9u;
    hash = (hash ^ hash >> 32 ^ key_[2]) * 0x94D049BB133111EBu;
    return &entries_[(hash >> 32) & (entries_.size() - 1)];
  }
  // Both for the piece given to entry() last.
  bool holds(const Entry& entry) const { return std::memcmp(entry.key, key_, sizeof key_) == 0; }
  void put(Entry& entry, std::size_t first, std::size_t count) {
    if (first + count > UINT32_MAX) return;
    std::memcpy(entry.key, key_, sizeof key_);
    entry.first = static_cast<std::uint32_t>(first);
    entry.count = static_cast<std::uint32_t>(count);
  }

 private:
  void load(std::string_view piece) {
    char bytes[24] = {};
    std::memcpy(bytes, piece.data(), piece.size());
    bytes[23] = static_cast<char>(piece.size());
    std::memcpy(key_, bytes, sizeof key_);
  }

  std::uint64_t key_[3] = {};
  std::vector<Entry> entries_;
};

}  // namespace deciban
