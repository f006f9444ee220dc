#include "evals/selection.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <stdexcept>

namespace deciban {
namespace {

Corpus corpus_of(const std::vector<std::size_t>& sizes) {
  Corpus corpus;
  for (const std::size_t size : sizes) {
    Document document;
    document.text = std::string(size, 'a');
    corpus.documents.push_back(document);
  }
  return corpus;
}

TEST(Limit, ParsesCountsSharesAndAll) {
  EXPECT_EQ(Limit::parse("20").of(100), 20u);
  EXPECT_EQ(Limit::parse("20").of(7), 7u);
  EXPECT_EQ(Limit::parse("10%").of(95), 10u);
  EXPECT_EQ(Limit::parse("0.5%").of(3), 1u);
  EXPECT_EQ(Limit::parse("100%").of(3), 3u);
  EXPECT_EQ(Limit::parse("all").of(3), 3u);
  for (const char* word : {"20", "10%", "0.5%", "all"}) EXPECT_EQ(Limit::parse(word).name(), word);
  for (const char* word : {"", "0", "-3", "%", "101%", "x", "3.5", "0%"}) {
    EXPECT_THROW(Limit::parse(word), std::invalid_argument) << word;
  }
}

TEST(Shard, ParsesFromOneAndKeepsFromZero) {
  const Shard shard = Shard::parse("2/8");
  EXPECT_EQ(shard.index, 1u);
  EXPECT_EQ(shard.count, 8u);
  EXPECT_EQ(shard.name(), "2/8");
  EXPECT_EQ(shard.file_suffix(), "2-of-8");
  EXPECT_EQ(Shard::parse("1/1").file_suffix(), "");
  for (const char* word : {"0/8", "9/8", "8", "/", "1/", "/8", "a/b", "1/8/2", "-1/8"}) {
    EXPECT_THROW(Shard::parse(word), std::invalid_argument) << word;
  }
}

TEST(Select, KeepsTheCorporasOrderAndTheirFirstDocuments) {
  const Corpus a = corpus_of({5, 1, 9}), b = corpus_of({4, 4});
  const Corpus* const corpora[] = {&a, &b};
  EXPECT_EQ(select(corpora, Limit::parse("2"), {}), (std::vector<Selected>{{0, 0}, {0, 1}, {1, 0}, {1, 1}}));
}

TEST(Select, ShardsAreAPartitionOfNearlyEqualBytes) {
  std::mt19937 random(3);
  std::vector<std::size_t> sizes;
  for (int i = 0; i < 300; ++i)
    sizes.push_back(static_cast<std::size_t>(std::exp(7 + 1.0 * (random() % 1000) / 400)));
  const Corpus a = corpus_of(sizes), b = corpus_of({1, 2, 3, 0, 0, 5000});
  const Corpus* const corpora[] = {&a, &b};
  for (const std::size_t n : {1u, 2u, 8u}) {
    std::set<std::pair<std::size_t, std::size_t>> seen;
    std::size_t most = 0, total = 0;
    for (std::size_t i = 0; i < n; ++i) {
      std::size_t bytes = 0;
      for (const Selected& s : select(corpora, {}, {i, n})) {
        EXPECT_TRUE(seen.emplace(s.corpus, s.document).second);
        bytes += size_of(corpora[s.corpus]->documents[s.document]);
      }
      most = std::max(most, bytes);
      total += bytes;
    }
    EXPECT_EQ(seen.size(), 306u);
    EXPECT_LE(static_cast<double>(most), 1.01 * static_cast<double>(total) / static_cast<double>(n));
  }
}

TEST(Select, MoreShardsThanDocumentsLeaveSomeEmpty) {
  const Corpus a = corpus_of({3, 3});
  const Corpus* const corpora[] = {&a};
  std::size_t documents = 0;
  for (std::size_t i = 0; i < 5; ++i) documents += select(corpora, {}, {i, 5}).size();
  EXPECT_EQ(documents, 2u);
}

}  // namespace
}  // namespace deciban
