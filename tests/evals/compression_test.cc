#include "evals/compression.h"

#include <gtest/gtest.h>

#include <numbers>
#include <stdexcept>

namespace deciban {
namespace {

Corpus one(const std::string& text) {
  Corpus corpus;
  corpus.documents.emplace_back();
  corpus.documents[0].text = text;
  return corpus;
}

TEST(Compression, AsksForTheWholeTextWithoutContext) {
  const CompressionTask task;
  const auto queries = task.queries(one("text"), 0);
  ASSERT_EQ(queries.size(), 1u);
  EXPECT_EQ(queries[0].context, "");
  EXPECT_EQ(queries[0].continuation, "text");
  EXPECT_THROW(task.queries(one(""), 0), std::runtime_error);
}

TEST(Compression, PrefersTextToTokens) {
  const CompressionTask task;
  Corpus corpus = one("text");
  corpus.documents[0].tokens = {1, 2};
  EXPECT_TRUE(task.queries(corpus, 0)[0].tokens.empty());
  corpus.documents[0].text.clear();
  EXPECT_EQ(task.queries(corpus, 0)[0].tokens, (std::vector<Token>{1, 2}));
}

TEST(Compression, JudgesInBits) {
  const CompressionTask task;
  QueryScore score;
  score.logprob = -10 * std::numbers::ln2;
  score.bytes = 5;
  score.unscored_bytes = 2;
  score.tokens = 4;
  score.scored_tokens = 3;
  const Measures measures = task.judge(one("aé漢"), 0, {{score}});
  EXPECT_DOUBLE_EQ(measures.at("bits_per_byte").sum, 10);
  EXPECT_EQ(measures.at("bits_per_byte").weight, 5);
  EXPECT_EQ(measures.at("bits_per_character").weight, 3);
  EXPECT_EQ(measures.at("nats_per_token").weight, 3);
  EXPECT_DOUBLE_EQ(measures.at("bits_per_byte_charged").sum, 26);
  for (const auto& [name, measure] : measures) EXPECT_TRUE(task.aggregations().contains(name)) << name;
}

TEST(Characters, AreCodePoints) {
  EXPECT_EQ(characters(""), 0u);
  EXPECT_EQ(characters("aé漢🜁"), 4u);
}

}  // namespace
}  // namespace deciban
