// Byte-pair merging: which pairs of tokens become one, and doing so in order of rank.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/lm.h"

namespace deciban {

// Immutable once filled; any thread may use it then.
class DECIBAN_API MergeTable {
 public:
  explicit MergeTable(std::size_t merges);
  // Pairs get ascending ranks.  A pair that is added again has its last rank, as in the reference library.
  void add(Token left, Token right, std::uint32_t rank, Token merged);

  // Repeatedly merges the adjacent pair of the lowest rank, the leftmost among equals, until no pair has one.
  // O(n log n) for n tokens.
  void merge(std::vector<Token>& tokens) const;

 private:
  struct Slot {
    std::uint64_t pair = kEmpty;
    std::uint32_t rank = 0;
    Token merged = 0;
  };
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};

  static std::uint64_t pair_of(Token left, Token right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  std::size_t slot_of(std::uint64_t pair) const { return pair * 0x9E3779B97F4A7C15u >> shift_; }
  const Slot* find(Token left, Token right) const;
  void merge_short(std::vector<Token>& tokens) const;
  void merge_long(std::vector<Token>& tokens) const;

  int shift_;
  std::vector<Slot> slots_;  // open addressing, at most half full
};

}  // namespace deciban
