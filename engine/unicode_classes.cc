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

bool is_word_character(char32_t code_point) {
  if (CharacterClasses::get()[code_point] == CharacterClass::letter) return true;
  // Letter-like symbols: Alphabetic, though of category So.
  if ((code_point >= 0x24B6 && code_point <= 0x24E9) || (code_point >= 0x1F130 && code_point <= 0x1F149) ||
      (code_point >= 0x1F150 && code_point <= 0x1F169) || (code_point >= 0x1F170 && code_point <= 0x1F189)) {
    return true;
  }
  if (code_point == 0x200C || code_point == 0x200D) return true;
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
