// Longest-prefix search over byte strings: a double-array trie, one memory access a byte.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/export.h"

namespace deciban {

// Immutable after construction; any thread may use it.
class DECIBAN_API ByteTrie {
 public:
  struct Match {
    std::int32_t value = -1;  // -1: no entry is a prefix
    std::size_t length = 0;   // bytes of the entry
  };

  ByteTrie() = default;
  // Values are >= 0.  Throws std::invalid_argument for an empty or repeated string.
  explicit ByteTrie(std::vector<std::pair<std::string, std::int32_t>> entries);

  // The longest entry that `text` begins with.
  Match longest_prefix(std::string_view text) const {
    Match best;
    if (slots_.empty()) return best;
    std::int32_t state = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::int32_t next = slots_[state].base ^ static_cast<unsigned char>(text[i]);
      if (slots_[next].parent != state) break;
      state = next;
      if (slots_[state].value >= 0) best = {slots_[state].value, i + 1};
    }
    return best;
  }

  bool empty() const { return slots_.empty(); }

 private:
  // The child of slot s by byte c is slot base(s) ^ c if that slot's parent is s.  Slots come in blocks of
  // 256, so the exclusive or stays inside a block and every index is valid.
  struct Slot {
    std::int32_t base = 0;
    std::int32_t parent = -1;  // -1: free; the root is its own block's reserved slot
    std::int32_t value = -1;
  };
  std::vector<Slot> slots_;
};

}  // namespace deciban
