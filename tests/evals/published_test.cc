#include "evals/published.h"

#include <gtest/gtest.h>

#include <set>

#include "datasets/corpus.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

const PublishedCorpus* find(std::string_view name) {
  for (const PublishedCorpus& corpus : published_corpora()) {
    if (corpus.name == name) return &corpus;
  }
  return nullptr;
}

TEST(Published, EveryScoreHasItsModelAndCorpus) {
  std::set<std::pair<std::size_t, std::string_view>> seen;
  for (const PublishedScore& score : published_scores()) {
    EXPECT_LT(score.model, published_models().size());
    EXPECT_NE(find(score.corpus), nullptr) << score.corpus;
    EXPECT_TRUE(seen.emplace(score.model, score.corpus).second);
    EXPECT_GT(score.nats, 0);
  }
  EXPECT_EQ(seen.size(), published_models().size() * published_corpora().size());
}

TEST(Published, TheLargerModelIsBetterEverywhere) {
  for (const PublishedScore& small : published_scores()) {
    for (const PublishedScore& large : published_scores()) {
      if (small.model == 0 && large.model == 1 && small.corpus == large.corpus) {
        EXPECT_LT(large.nats, small.nats);
      }
    }
  }
}

TEST(Published, TheCorporaAreTheseFiles) {
  DECIBAN_NEEDS_SHARED("data/uncheatable/uncheatable_2026-04_sample20");
  for (const PublishedCorpus& known : published_corpora()) {
    const Corpus corpus = read_corpus(shared("data/uncheatable/uncheatable_2026-04_sample20") /
                                      (std::string(known.name) + ".json"));
    EXPECT_EQ(corpus.digest, known.digest);
    EXPECT_EQ(corpus.bytes(), known.bytes);
    EXPECT_EQ(corpus.documents.size(), 20u);
  }
}

}  // namespace
}  // namespace deciban
