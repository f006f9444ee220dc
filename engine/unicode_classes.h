// The character classes that pre-tokenizers split by: letters (\p{L}), numbers (\p{N}), white space (\s), the
// rest.
//
// The ranges are those of the tokenizers library that models were trained with (a Unicode 16 table, measured
// on every code point), because system libraries differ by thousands of code points from one release to the
// next.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/export.h"

namespace deciban {

enum class CharacterClass : std::uint8_t { other, letter, number, space };

// A two-stage table: blocks of 256 code points, equal blocks stored once.
class DECIBAN_API CharacterClasses {
 public:
  static const CharacterClasses& get();
  // Any char32_t up to 10FFFF.
  CharacterClass operator[](char32_t code_point) const {
    return blocks_[index_[code_point >> 8]][code_point & 0xFF];
  }

 private:
  CharacterClasses();
  std::array<std::uint16_t, 0x1100> index_;
  std::vector<std::array<CharacterClass, 256>> blocks_;
};

struct CharacterRange {
  char32_t first, last;
  CharacterClass character_class;
};
// The ranges themselves, ascending; everything else is `other`.
DECIBAN_API const std::vector<CharacterRange>& character_ranges();

// What \w matches: alphabetic characters, marks, decimal and letter numbers, connectors, joiners.  For added
// tokens that must be whole words.
DECIBAN_API bool is_word_character(char32_t code_point);

}  // namespace deciban
