#include "engine/bpe_pretokenize.h"

#include <gtest/gtest.h>

#include <random>

#include "engine/bpe_regex.h"
#include "engine/utf8.h"

namespace deciban {
namespace {

std::vector<std::string> pieces_of(const Pretokenizer& pretokenizer, std::string_view text) {
  std::vector<std::string> pieces;
  pretokenizer.split({text, true}, [&](TextPiece piece) { pieces.emplace_back(piece.text); });
  return pieces;
}

PretokenizerStep split_step(std::string_view pattern) {
  PretokenizerStep step;
  step.kind = PretokenizerStep::Kind::split;
  step.pattern = pattern;
  return step;
}

using Strings = std::vector<std::string>;

TEST(Pretokenize, Gpt2) {
  const Pretokenizer gpt2({split_step(kGpt2Pattern)});
  EXPECT_EQ(pieces_of(gpt2, "It's  a test,\n\n  they'll 'say 12a"),
            (Strings{"It", "'s", " ", " a", " test", ",", "\n\n ", " they", "'ll", " '", "say", " 12", "a"}));
  EXPECT_EQ(pieces_of(gpt2, "x   "), (Strings{"x", "   "}));
  EXPECT_EQ(pieces_of(gpt2, "IT'S"), (Strings{"IT", "'", "S"}));
}

TEST(Pretokenize, Llama3) {
  const Pretokenizer llama3({split_step(kLlama3Pattern)}), qwen2({split_step(kQwen2Pattern)});
  EXPECT_EQ(pieces_of(llama3, "IT'S \"good\"!!\n\n  12345\t x"),
            (Strings{"IT", "'S", " \"", "good", "\"!!\n\n", " ", " ", "123", "45", "\t", " x"}));
  EXPECT_EQ(pieces_of(qwen2, "a123"), (Strings{"a", "1", "2", "3"}));
  EXPECT_EQ(pieces_of(llama3, "a \n \n  b"), (Strings{"a", " \n \n", " ", " b"}));
}

// The hand-written splitters against the expressions themselves.
TEST(Pretokenize, HandWrittenSplittersEqualTheirExpressions) {
  const std::vector<std::string> parts{" ",
                                       "  ",
                                       "\n",
                                       "\r",
                                       "\t",
                                       "\xC2\xA0",
                                       "\xE3\x80\x80",
                                       "\xC2\x85",
                                       "\xE1\xA0\x8E",
                                       "a",
                                       "Z",
                                       "é",
                                       "世",
                                       "1",
                                       "٣",
                                       "½",
                                       "'",
                                       "'s",
                                       "'S",
                                       "'ſ",
                                       "'re",
                                       "'lL",
                                       "'v",
                                       "!",
                                       "-",
                                       "_",
                                       "😀",
                                       "\xCC\x81",
                                       "\xE2\x80\x8B",
                                       std::string(1, '\0')};
  std::mt19937 random(9);
  for (const std::string_view pattern : {kGpt2Pattern, kLlama3Pattern, kQwen2Pattern}) {
    const Pretokenizer fast({split_step(pattern)}), slow({split_step(pattern)}, false);
    for (int round = 0; round < 20000; ++round) {
      std::string text;
      for (int count = static_cast<int>(random() % 14); count > 0; --count)
        text += parts[random() % parts.size()];
      if (random() % 8 == 0) {
        char32_t c = random() % 0x20000;
        append_utf8(text, c >= 0xD800 && c < 0xE000 ? U'?' : c);
        text += parts[random() % parts.size()];
      }
      ASSERT_EQ(pieces_of(fast, text), pieces_of(slow, text)) << pattern << "\n" << text;
    }
  }
}

TEST(Pretokenize, OnlyTheDocumentsFirstPieceIsFirst) {
  PretokenizerStep metaspace;
  metaspace.kind = PretokenizerStep::Kind::metaspace;
  metaspace.replacement = "▁";
  metaspace.prepend = PrependScheme::first;
  const Pretokenizer pretokenizer({split_step("-"), metaspace});
  EXPECT_EQ(pieces_of(pretokenizer, "a b-c"), (Strings{"▁a", "▁b", "-", "c"}));
}

TEST(Pretokenize, NothingComesOfNothing) {
  EXPECT_TRUE(pieces_of(Pretokenizer({split_step(kGpt2Pattern)}), "").empty());
  EXPECT_EQ(pieces_of(Pretokenizer({}), "a b"), Strings{"a b"});
}

TEST(TokenizerRegex, UsesTheReferencesClasses) {
  const auto count = [](const char* pattern, std::string_view text) {
    return TokenizerRegex(pattern).find_all(text).size();
  };
  EXPECT_EQ(count("\\s", "\xE1\xA0\x8E\xC2\x85 "), 2u);  // not U+180E
  EXPECT_EQ(count("\\p{L}", "\xF0\x96\xB5\x80z"), 2u);   // U+16D40, a letter of Unicode 16
  EXPECT_EQ(count("[^\\s\\p{L}\\p{N}]+", "a!?b 1\xF0\x96\xB5\x80"), 1u);
  EXPECT_EQ(count("\\P{L}", "a1"), 1u);
  EXPECT_EQ(count("\\S", "a 1"), 2u);
  EXPECT_EQ(count("[]a]", "a]b"), 2u);
}

TEST(TokenizerRegex, EmptyMatchesAreFoundOnceEach) {
  std::string found;
  for (const TokenizerRegex::Match& match : TokenizerRegex("x*").find_all("axb世")) {
    found += std::to_string(match.begin) + "-" + std::to_string(match.end) + " ";
  }
  EXPECT_EQ(found, "0-0 1-2 3-3 6-6 ");
}

}  // namespace
}  // namespace deciban
