#include "reports/display_text.h"

#include <gtest/gtest.h>

#include <string>

namespace deciban {
namespace {

TEST(DisplayText, ControlCharactersLoseTheirPower) {
  EXPECT_EQ(display_text("plain – ñ 漢 😀"), "plain – ñ 漢 😀");
  EXPECT_EQ(display_text("a\nb\tc\r\nd"), "a b c  d");
  EXPECT_EQ(display_text("\x1b[31mred"), "�[31mred");
  EXPECT_EQ(display_text(std::string("a\0b\x7f", 4)), "a�b�");
  EXPECT_EQ(display_text("\xc2\x9b"
                         "31m"),
            "�31m");                                                   // CSI as one character
  EXPECT_EQ(display_text("abc\u202etxt\u2066x\u200f"), "abc�txt�x�");  // direction overrides
  EXPECT_EQ(display_text("a\u2028b\u0085c"), "a b c");
}

TEST(DisplayText, BytesThatAreNotUtf8BecomeReplacementCharacters) {
  EXPECT_EQ(display_text("caf\xe9!"), "caf�!");
  EXPECT_EQ(display_text("\xe6\xbc"), "��");
  EXPECT_EQ(display_text("\xed\xa0\x80"), "���");  // a surrogate
}

TEST(DisplayText, WidthIsThatOfTheTerminal) {
  EXPECT_EQ(display_width(""), 0u);
  EXPECT_EQ(display_width("rwkv"), 4u);
  EXPECT_EQ(display_width("漢字"), 4u);
  EXPECT_EQ(display_width("😀"), 2u);
  EXPECT_EQ(display_width("é"), 1u);
  EXPECT_EQ(display_width("e\u0301"), 1u);  // e and a combining accent
  EXPECT_EQ(display_width("–…�"), 3u);
}

TEST(DisplayText, ShortensInTheMiddle) {
  EXPECT_EQ(shorten_middle("abcdefghij", 10), "abcdefghij");
  EXPECT_EQ(shorten_middle("abcdefghij", 9), "abcd…ghij");
  EXPECT_EQ(shorten_middle("abcdefghij", 6), "abc…ij");
  EXPECT_EQ(shorten_middle("abcdefghij", 2), "a…");
  EXPECT_EQ(shorten_middle("abcdefghij", 1), "…");
  EXPECT_EQ(shorten_middle("abcdefghij", 0), "");
  EXPECT_EQ(shorten_middle("漢字漢字漢字", 7), "漢…漢字");  // a wide character is whole or not there
  EXPECT_EQ(shorten_middle("e\u0301e\u0301e\u0301e\u0301", 3), "e\u0301…e\u0301");
  for (std::size_t width = 0; width < 30; ++width) {
    EXPECT_LE(display_width(shorten_middle("model-漢字-e\u0301-😀-q8_0-long-name", width)), width);
  }
}

}  // namespace
}  // namespace deciban
