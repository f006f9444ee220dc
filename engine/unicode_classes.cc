#include "engine/unicode_classes.h"

#include <utf8proc.h>

#include <algorithm>

namespace deciban {

const std::vector<CharacterRange>& character_ranges() {
  constexpr CharacterClass kL = CharacterClass::letter, kN = CharacterClass::number,
                           kS = CharacterClass::space;
  static const std::vector<CharacterRange> ranges{
#include "engine/unicode_class_ranges.inc"
  };
  return ranges;
}

CharacterClasses::CharacterClasses() {
  std::vector<CharacterClass> flat(0x110000, CharacterClass::other);
  for (const CharacterRange& range : character_ranges()) {
    std::fill(flat.begin() + range.first, flat.begin() + range.last + 1, range.character_class);
  }
  for (std::size_t i = 0; i < index_.size(); ++i) {
    std::array<CharacterClass, 256> block;
    std::copy_n(flat.begin() + static_cast<std::ptrdiff_t>(i * 256), 256, block.begin());
    const auto known = std::find(blocks_.begin(), blocks_.end(), block);
    index_[i] = static_cast<std::uint16_t>(known - blocks_.begin());
    if (known == blocks_.end()) blocks_.push_back(block);
  }
}

const CharacterClasses& CharacterClasses::get() {
  static const CharacterClasses classes;
  return classes;
}

namespace {

struct Range {
  char32_t first, last;
};

// Word characters that the system's categories may not show: joiners, letter-like symbols (Alphabetic, though
// of category So), and marks and digits that came with Unicode 14 to 16.
constexpr Range kFurtherWordCharacters[] = {
    {0x0897, 0x0897},   {0x200C, 0x200D},   {0x24B6, 0x24E9},   {0x10D40, 0x10D49}, {0x10D69, 0x10D6D},
    {0x10EFC, 0x10EFC}, {0x113B8, 0x113C0}, {0x113C2, 0x113C2}, {0x113C5, 0x113C5}, {0x113C7, 0x113CA},
    {0x113CC, 0x113D0}, {0x113D2, 0x113D2}, {0x113E1, 0x113E2}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9},
    {0x11F5A, 0x11F5A}, {0x1611E, 0x16139}, {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9}, {0x1E5EE, 0x1E5EF},
    {0x1E5F1, 0x1E5FA}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189},
};

}  // namespace

bool is_word_character(char32_t code_point) {
  if (CharacterClasses::get()[code_point] == CharacterClass::letter) return true;
  for (const Range& range : kFurtherWordCharacters) {
    if (code_point >= range.first && code_point <= range.last) return true;
  }
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

}  // namespace deciban
