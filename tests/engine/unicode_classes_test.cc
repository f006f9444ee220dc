#include "engine/unicode_classes.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/shared_data.h"

namespace deciban {
namespace {

TEST(UnicodeClasses, EqualTheReferenceOnEveryCodePoint) {
  std::ifstream in(golden("tokenizers/neox-char-classes.json"));
  const auto reference = nlohmann::json::parse(in);
  std::vector<CharacterClass> expected(0x110000, CharacterClass::other);
  const auto mark = [&](const char* name, CharacterClass character_class) {
    for (const auto& range : reference[name]) {
      for (int c = range[0]; c <= range[1]; ++c) expected[c] = character_class;
    }
  };
  mark("letter", CharacterClass::letter);
  mark("number", CharacterClass::number);
  mark("space", CharacterClass::space);
  int differences = 0;
  for (char32_t c = 0; c < 0x110000; ++c) differences += CharacterClasses::get()[c] != expected[c];
  EXPECT_EQ(differences, 0);
}

TEST(UnicodeClasses, RangesAscend) {
  char32_t last = 0;
  for (const CharacterRange& range : character_ranges()) {
    EXPECT_GT(range.first, last);
    EXPECT_GE(range.last, range.first);
    last = range.last;
  }
  EXPECT_EQ(character_ranges().size(), 677u + 144u + 10u);
}

TEST(UnicodeClasses, WordCharacters) {
  for (const char32_t c : U"azAZ09_éß世あ한٣Ⅷ\u0301\u200dⒶ\u0897\U00010D40") {
    EXPECT_TRUE(c == 0 || is_word_character(c)) << static_cast<unsigned>(c);
  }
  for (const char32_t c : U" -'!½²\u00a0\u200b😀▁\u0085")
    EXPECT_FALSE(is_word_character(c)) << static_cast<unsigned>(c);
}

}  // namespace
}  // namespace deciban
