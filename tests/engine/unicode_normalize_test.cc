#include "engine/unicode_normalize.h"

#include <gtest/gtest.h>

#include <chrono>

#include "engine/utf8.h"

namespace deciban {
namespace {

std::string text_of(std::u32string_view characters) {
  std::string text;
  for (const char32_t c : characters) append_utf8(text, c);
  return text;
}

std::string nfc(std::u32string_view characters) { return normalize(text_of(characters), NormalForm::nfc); }

TEST(UnicodeNormalize, Composes) {
  EXPECT_EQ(nfc(U"cafe\u0301"), text_of(U"caf\u00e9"));
  EXPECT_EQ(nfc(U"\u1100\u1161\u11a8"), text_of(U"\uac01"));
  EXPECT_EQ(nfc(U"\uac00\u11a8"), text_of(U"\uac01"));
  EXPECT_EQ(nfc(U"\u212b\u2126"), text_of(U"\u00c5\u03a9"));
  EXPECT_EQ(nfc(U"q\u0307\u0323"), text_of(U"q\u0323\u0307"));            // marks are put in order
  EXPECT_EQ(nfc(U"\u0958\u2adc"), text_of(U"\u0915\u093c\u2add\u0338"));  // excluded from composition
  EXPECT_EQ(nfc(U""), "");
}

TEST(UnicodeNormalize, OtherForms) {
  EXPECT_EQ(normalize(text_of(U"\u00e9\uac01"), NormalForm::nfd), text_of(U"e\u0301\u1100\u1161\u11a8"));
  EXPECT_EQ(normalize(text_of(U"\ufb01\u2460\u00e9"), NormalForm::nfkc), text_of(U"fi1\u00e9"));
  EXPECT_EQ(normalize(text_of(U"\ufb01\u00e9"), NormalForm::nfkd), text_of(U"fie\u0301"));
}

// Measured on the reference library: it knows Unicode 9.
TEST(UnicodeNormalize, WhatCameAfterUnicode9StaysAsItIs) {
  for (const char32_t* text :
       {U"x\u0301\u07fd", U"\U00011935\U00011930", U"a\u07fd\u0323", U"\U00016d63\U00016d67"}) {
    EXPECT_EQ(nfc(text), text_of(text));
  }
  EXPECT_EQ(normalize(text_of(U"\u32ff\ua7f2"), NormalForm::nfkc), text_of(U"\u32ff\ua7f2"));
}

// Normalisation by parts must equal normalisation as one: cut at every place next to an ASCII character.
TEST(UnicodeNormalize, EveryCodePointAmongOthers) {
  for (char32_t c = 1; c < 0x30000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    const std::string alone = normalize(text_of(std::u32string(1, c)), NormalForm::nfc);
    ASSERT_EQ(normalize(alone, NormalForm::nfc), alone) << static_cast<unsigned>(c);
    // Forcing the slow path by a mark behind must not change the character itself, if it is one that never
    // changes: the first and last characters keep their distance.
    const std::u32string around = {U'x', c, U' ', U'\u0323', U'\u0301'};
    const std::string expected =
        normalize(text_of({around.data(), 2}), NormalForm::nfc) + text_of(U" \u0323\u0301");
    ASSERT_EQ(nfc(around), expected) << static_cast<unsigned>(c);
    // Decomposing first and composing then is the same as composing.
    const std::string marked = text_of(std::u32string{c, U'\u0323', U'\u0301'});
    ASSERT_EQ(normalize(normalize(marked, NormalForm::nfd), NormalForm::nfc),
              normalize(marked, NormalForm::nfc))
        << static_cast<unsigned>(c);
  }
}

TEST(UnicodeNormalize, LongRunsOfMarksTakeNoQuadraticTime) {
  std::u32string marks = U"a";
  for (int i = 0; i < 200000; ++i) marks += i % 2 ? U'\u0301' : U'\u0323';
  const auto start = std::chrono::steady_clock::now();
  const std::string normalized = nfc(marks);
  EXPECT_TRUE(
      normalized.starts_with(text_of(U"\u1ea1\u0323")));  // a + dot below compose; the other dots follow
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

}  // namespace
}  // namespace deciban
