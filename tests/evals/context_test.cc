#include "evals/context.h"

#include <gtest/gtest.h>

#include <numbers>

#include "evals/recall.h"

namespace deciban {
namespace {

Corpus one_document(const std::string& text) {
  Corpus corpus;
  corpus.documents.emplace_back();
  corpus.documents[0].text = text;
  return corpus;
}

TEST(ContextTask, TheTargetStaysAndTheContextGrows) {
  const Corpus corpus = one_document("abcdefghij");
  for (const auto& [bytes, context] : {std::pair{0, ""}, {2, "ef"}, {6, "abcdef"}}) {
    const ContextTask task(static_cast<std::size_t>(bytes), 4, 10);
    const auto queries = task.queries(corpus, 0);
    ASSERT_EQ(queries.size(), 1u);
    EXPECT_EQ(queries[0].context, context);
    EXPECT_EQ(queries[0].continuation, "ghij");
    EXPECT_EQ(task.exclusion(corpus, 0), "");
  }
  EXPECT_EQ(ContextTask(2, 4, 11).exclusion(corpus, 0), "it has 10 bytes, and 11 are needed");
  EXPECT_EQ(ContextTask(2048, 4, 11).name(), "context:2048");
}

TEST(ContextTask, CutsBetweenCharacters) {
  const ContextTask task(3, 3, 0);
  const auto queries = task.queries(one_document("aéé漢b"), 0);  // a é é 漢 b: 1 + 2 + 2 + 3 + 1 bytes
  EXPECT_EQ(queries[0].continuation, "b");                       // the third last byte lies within 漢
  EXPECT_EQ(queries[0].context, "漢");
}

TEST(ContextTask, JudgesTheTargetsBits) {
  QueryScore score;
  score.logprob = -8 * std::numbers::ln2;
  score.bytes = 4;
  const Measures measures = ContextTask(0, 4, 4).judge(one_document("abcd"), 0, {{score}});
  EXPECT_DOUBLE_EQ(measures.at("bits_per_byte").sum, 8);
  EXPECT_EQ(measures.at("bits_per_byte").weight, 4);
}

TEST(Recall, TellsWhatItAsksFor) {
  const RecallShape shape{3000, 16, 40, 7};
  const Corpus corpus = recall_corpus(shape);
  ASSERT_EQ(corpus.documents.size(), 40u);
  std::size_t first_half = 0;
  for (std::size_t i = 0; i < corpus.documents.size(); ++i) {
    const auto queries = RecallTask().queries(corpus, i);
    ASSERT_EQ(queries.size(), kRecallChoices);
    const std::string& context = queries[0].context;
    EXPECT_GE(context.size(), shape.bytes);
    EXPECT_LT(context.size(), shape.bytes + 100);
    const std::size_t of = context.rfind(" of ") + 4;
    const std::string name = context.substr(of, context.find(" is", of) - of);
    const std::size_t told = context.find("The number of " + name + " is" + queries[0].continuation + ". ");
    ASSERT_NE(told, std::string::npos);
    first_half += told < context.size() / 2;
    for (std::size_t q = 1; q < queries.size(); ++q) {
      EXPECT_EQ(queries[q].context, context);
      EXPECT_NE(queries[q].continuation, queries[0].continuation);
      EXPECT_NE(context.find(" is" + queries[q].continuation + ". "), std::string::npos);  // told of another
    }
  }
  EXPECT_GT(first_half, 8u);  // anywhere in the text
  EXPECT_LT(first_half, 32u);
}

TEST(Recall, IsTheSameEverywhereAndDiffersBySeed) {
  EXPECT_EQ(recall_corpus({500, 4, 5, 1}).digest, recall_corpus({500, 4, 5, 1}).digest);
  EXPECT_NE(recall_corpus({500, 4, 5, 1}).digest, recall_corpus({500, 4, 5, 2}).digest);
  EXPECT_EQ(recall_corpus({0, 1, 2, 1}).digest.size(), 64u);  // associative recall: no filler, one pair
  EXPECT_THROW(recall_corpus({500, 0, 5, 1}), std::invalid_argument);
}

TEST(Recall, IsChosenOnlyIfClearlyTheLikeliest) {
  const Corpus corpus = recall_corpus({0, 4, 1, 1});
  std::vector<QueryScore> scores(kRecallChoices);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    scores[i].logprob = -2 - static_cast<double>(i);
    scores[i].bytes = 6;
  }
  EXPECT_EQ(RecallTask().judge(corpus, 0, scores).at("choice").sum, 1);
  EXPECT_EQ(RecallTask().judge(corpus, 0, scores).at("bits_per_byte").weight, 6);
  scores[3].logprob = scores[0].logprob;
  EXPECT_EQ(RecallTask().judge(corpus, 0, scores).at("choice").sum, 0);
}

}  // namespace
}  // namespace deciban
