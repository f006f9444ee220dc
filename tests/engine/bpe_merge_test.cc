#include "engine/bpe_merge.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace deciban {
namespace {

// The definition: the lowest rank, leftmost, one at a time.
std::vector<Token> merge_by_definition(
    std::vector<Token> tokens,
    const std::map<std::pair<Token, Token>, std::pair<std::uint32_t, Token>>& merges) {
  while (true) {
    std::size_t best = tokens.size();
    std::uint32_t rank = ~0u;
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      const auto found = merges.find({tokens[i], tokens[i + 1]});
      if (found != merges.end() && found->second.first < rank) {
        rank = found->second.first;
        best = i;
      }
    }
    if (best == tokens.size()) return tokens;
    tokens[best] = merges.at({tokens[best], tokens[best + 1]}).second;
    tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(MergeTable, EqualsTheDefinitionForShortAndLongPieces) {
  std::mt19937 random(4);
  for (int round = 0; round < 60; ++round) {
    // Texts over a few letters; each merge joins two known strings, as in a trained vocabulary.
    std::vector<std::string> texts{"a", "b", "c"};
    std::map<std::string, Token> ids{{"a", 0}, {"b", 1}, {"c", 2}};
    std::map<std::pair<Token, Token>, std::pair<std::uint32_t, Token>> merges;
    MergeTable table(40);
    for (std::uint32_t rank = 0; rank < 40; ++rank) {
      const Token left = static_cast<Token>(random() % texts.size()),
                  right = static_cast<Token>(random() % texts.size());
      const std::string merged = texts[left] + texts[right];
      if (merged.size() > 12 || merges.contains({left, right})) continue;
      const auto [known, fresh] = ids.emplace(merged, static_cast<Token>(texts.size()));
      if (fresh) texts.push_back(merged);
      merges[{left, right}] = {rank, known->second};
      table.add(left, right, rank, known->second);
    }
    for (const std::size_t size : {0, 1, 2, 7, 47, 48, 49, 50, 200}) {
      std::vector<Token> tokens(size);
      for (Token& token : tokens) token = static_cast<Token>(random() % 3);
      const std::vector<Token> expected = merge_by_definition(tokens, merges);
      table.merge(tokens);
      ASSERT_EQ(tokens, expected) << size;
    }
  }
}

TEST(MergeTable, RunsMergeFromTheLeft) {
  MergeTable table(1);
  table.add(0, 0, 0, 1);
  for (const std::size_t size : {3, 5, 99}) {
    std::vector<Token> tokens(size, 0);
    table.merge(tokens);
    std::vector<Token> expected(size / 2, 1);
    expected.push_back(0);
    EXPECT_EQ(tokens, expected);
  }
}

TEST(MergeTable, TheLastRankOfARepeatedPairCounts) {
  MergeTable table(3);
  table.add(0, 1, 0, 3);
  table.add(1, 2, 1, 4);
  table.add(0, 1, 2, 3);
  std::vector<Token> tokens{0, 1, 2};
  table.merge(tokens);
  EXPECT_EQ(tokens, (std::vector<Token>{0, 4}));
}

}  // namespace
}  // namespace deciban
