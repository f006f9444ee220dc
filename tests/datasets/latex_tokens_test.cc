#include "datasets/latex_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace deciban {
namespace {

using testing::ElementsAre;

// One word a token: its kind's letter and its text.
std::vector<std::string> tokens(std::string_view text, bool at = false) {
  LatexLexer lexer(text);
  lexer.letter_at(at);
  std::vector<std::string> result;
  Token token;
  while (lexer.next(token)) {
    switch (token.kind) {
      case TokenKind::text:
        result.push_back("t:" + std::string(token.text));
        break;
      case TokenKind::space:
        result.push_back("_");
        break;
      case TokenKind::paragraph:
        result.push_back("P");
        break;
      case TokenKind::command:
        result.push_back("c:" + std::string(token.text));
        break;
      default:
        result.push_back(std::string(token.text));
    }
  }
  return result;
}

TEST(LatexTokens, TellsThemApart) {
  EXPECT_THAT(tokens("a b{c}$x$&#1"),
              ElementsAre("t:a", "_", "t:b", "{", "t:c", "}", "$", "t:x", "$", "&", "#1"));
  EXPECT_THAT(tokens("\\alpha  b\\%\\ \\'e~"),
              ElementsAre("c:alpha", "t:b", "c:%", "c: ", "c:'", "t:e", "_"));
  EXPECT_THAT(tokens("[a]"), ElementsAre("t:[", "t:a", "t:]"));
  EXPECT_THAT(tokens("##1 # x"), ElementsAre("##1", "_", "t:#", "_", "t:x"));
  EXPECT_THAT(tokens("\\é"), ElementsAre("c:é"));
}

TEST(LatexTokens, ReadsLinesAsTexDoes) {
  EXPECT_THAT(tokens("a\nb\n\n c"), ElementsAre("t:a", "_", "t:b", "P", "t:c"));
  EXPECT_THAT(tokens("a\r\nb\r\n\r\nc"), ElementsAre("t:a", "_", "t:b", "P", "t:c"));
  EXPECT_THAT(tokens("a% comment\n  b"), ElementsAre("t:a", "t:b"));
  EXPECT_THAT(tokens("a% comment\n\nb"), ElementsAre("t:a", "P", "t:b"));
  EXPECT_THAT(tokens("\\x\n\ny"), ElementsAre("c:x", "P", "t:y"));
  EXPECT_THAT(tokens("5\\% x"), ElementsAre("t:5", "c:%", "_", "t:x"));
}

TEST(LatexTokens, AtIsALetterWhenToldSo) {
  EXPECT_THAT(tokens("\\a@b"), ElementsAre("c:a", "t:@b"));
  EXPECT_THAT(tokens("\\a@b", true), ElementsAre("c:a@b"));
}

TEST(LatexTokens, EndsOfFiles) {
  EXPECT_THAT(tokens(""), ElementsAre());
  EXPECT_THAT(tokens("\\"), ElementsAre("_"));
  EXPECT_THAT(tokens("% only"), ElementsAre());
  EXPECT_THAT(tokens("#"), ElementsAre("t:#"));
}

TEST(LatexTokens, RawText) {
  LatexLexer url("{http://x.org/a%20b_{c}} d");
  EXPECT_EQ(url.raw_group(), "http://x.org/a%20b_{c}");
  Token token;
  ASSERT_TRUE(url.next(token));
  EXPECT_EQ(token.kind, TokenKind::space);
  LatexLexer open("{never closed");
  EXPECT_EQ(open.raw_group(), "");
  LatexLexer verb("|a{b|c");
  EXPECT_EQ(verb.raw_delimited(), "a{b");
  LatexLexer until("x % y\\end{v}z");
  EXPECT_EQ(until.raw_until("\\end{v}"), "x % y");
  ASSERT_TRUE(until.next(token));
  EXPECT_EQ(token.text, "z");
}

}  // namespace
}  // namespace deciban
