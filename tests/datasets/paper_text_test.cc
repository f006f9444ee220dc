#include "datasets/paper_text.h"

#include <gtest/gtest.h>

namespace deciban {
namespace {

std::string flow(std::string_view text) {
  TextFlow flow;
  for (const char c : text) {
    if (c == '#') {
      flow.hole();
    } else if (c == '|') {
      flow.end_paragraph();
    } else {
      flow.add({&c, 1});
    }
  }
  return flow.take();
}

TEST(PaperText, Spaces) {
  EXPECT_EQ(flow("  a \t b\n c |  | d "), "a b c\n\nd");
  TextFlow text;
  text.add("a\u00A0b\u2009c\u200Bd\u00ADe\uFEFFf\x02g");
  EXPECT_EQ(text.take(), "a b cdefg");
  EXPECT_EQ(text.take(), "");
}

// '#' stands for something left out.
TEST(PaperText, Holes) {
  EXPECT_EQ(flow("as in #."), "as in.");
  EXPECT_EQ(flow("as (#) is"), "as is");
  EXPECT_EQ(flow("as (see #, #; #) is"), "as is");
  EXPECT_EQ(flow("as [e.g., #]."), "as.");
  EXPECT_EQ(flow("kept (really #) so"), "kept (really) so");
  EXPECT_EQ(flow("a # b"), "a b");
  EXPECT_EQ(flow("# begins"), "begins");
  EXPECT_EQ(flow("(#, Theorem 2)"), "(Theorem 2)");
  EXPECT_EQ(flow("f() stays, ( too )"), "f() stays, ( too )");
  EXPECT_EQ(flow("#|#"), "");
  EXPECT_EQ(flow("#-dimensional"), "-dimensional");
}

TEST(PaperText, NotesFollowTheirParagraph) {
  TextFlow text;
  text.add("one");
  text.note("note");
  text.add(" more");
  text.end_paragraph();
  text.add("two");
  EXPECT_EQ(text.take(), "one more\n\nnote\n\ntwo");
}

TEST(PaperText, Unicode) {
  EXPECT_EQ(nfc("e\u0301 A\u030A"), "\u00E9 \u00C5");
  EXPECT_EQ(nfc("a\xFF"
                "b\xC3"),
            "a\uFFFD"
            "b\uFFFD");
  EXPECT_EQ(as_utf8("\u00E9"), "\u00E9");
  EXPECT_EQ(as_utf8("\xE9\x80"), "\u00E9\u20AC");
  EXPECT_EQ(one_line(" a\n\n b "), "a b");
}

TEST(PaperText, Mathematics) {
  TextFlow text;
  text.add("a");
  text.space();
  text.math(" x ", false, Math::tex);
  text.math("y", true, Math::tex);
  text.math(" ", true, Math::tex);
  EXPECT_EQ(text.take(), "a $x$ $$y$$");
}

}  // namespace
}  // namespace deciban
