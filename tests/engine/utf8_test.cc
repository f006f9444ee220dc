#include "engine/utf8.h"

#include <gtest/gtest.h>

namespace deciban {
namespace {

TEST(Utf8, EveryScalarValueRoundTrips) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    ASSERT_EQ(first_invalid_utf8(text), text.size());
    const CodePoint read = code_point_at(text, 0);
    ASSERT_EQ(read.value, c);
    ASSERT_EQ(read.length, text.size());
  }
}

TEST(Utf8, FindsIllFormedSequences) {
  const std::string ascii(50, 'a');
  for (const std::string bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5", "\xFF", "\xC3", "\xE4\xB8", "\xF0\x9F\x98"}) {
    EXPECT_EQ(first_invalid_utf8(ascii + bad + ascii), ascii.size()) << bad;
    EXPECT_EQ(first_invalid_utf8(std::string("\xC3\xA4").append(bad)), 2u) << bad;
  }
  EXPECT_EQ(first_invalid_utf8(ascii + "\xF4\x8F\xBF\xBF"), ascii.size() + 4);
}

// The examples of the Unicode Standard, tables 3-8 to 3-11.
TEST(Utf8, ReplacesMaximalSubparts) {
  const auto r = [](int count, const std::string& rest = "") {
    std::string text;
    for (int i = 0; i < count; ++i) text += "\xEF\xBF\xBD";
    return text + rest;
  };
  EXPECT_EQ(repair_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), r(8, "A"));
  EXPECT_EQ(repair_utf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), r(8, "A"));
  EXPECT_EQ(repair_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), r(5, std::string("A").append(r(2, "B"))));
  EXPECT_EQ(repair_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r(4, "A"));
  EXPECT_EQ(repair_utf8("ä\xE4\xB8"), std::string("ä").append(r(1)));
  EXPECT_EQ(repair_utf8(""), "");
}

}  // namespace
}  // namespace deciban
