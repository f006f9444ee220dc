// What an accelerator's full memory does to a run: smaller chunks with the same results, then documents that
// fail with their reason, and models that are refused before they are loaded.  The CPU computes, with the
// memory of a card.
#include <gtest/gtest.h>

#include <random>

#include "engine/random_model.h"
#include "tests/engine/error_of.h"
#include "tests/engine/limited_backend.h"
#include "tests/engine/scoring.h"

namespace deciban {
namespace {

class FullMemory : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ::setenv("DECIBAN_STREAMS_PER_CARD", "1", 1);  // what one stream does when memory ends
    std::mt19937 random(5);
    for (const std::size_t length : {300, 20, 150, 2, 611, 90, 90, 33}) {
      std::vector<Token> text(length);
      for (Token& token : text) token = static_cast<Token>(random() % 257);
      texts_.push_back(std::move(text));
    }
    for (const auto& text : texts_) list_.push_back({.tokens = text});
  }
  std::unique_ptr<LanguageModel> open(std::size_t cards = 1) const {
    std::vector<std::unique_ptr<Backend>> backends;
    for (std::size_t i = 0; i < cards; ++i)
      backends.push_back(std::make_unique<LimitedBackend>(cpu_backend(), limits_));
    ModelInfo info;
    return load_rwkv(official_rwkv(Checkpoint::open(golden("rwkv/" + GetParam() + "/model.pth"))),
                     byte_tokenizer(), std::move(backends), "auto", {}, std::move(info));
  }
  Collected unlimited() const {
    return score(*open_golden(golden("rwkv/" + GetParam() + "/model.pth")), list_);
  }
  void expect_same(const Collected& got, const Collected& want) const {
    ASSERT_TRUE(got.failures.empty()) << got.failures.begin()->second;
    for (std::size_t i = 0; i < list_.size(); ++i)
      EXPECT_TRUE(same_bits(got.scores.at(i), want.scores.at(i))) << "document " << i;
  }

  std::shared_ptr<Limits> limits_ = std::make_shared<Limits>();
  std::vector<std::vector<Token>> texts_;
  std::vector<Sequence> list_;
};

TEST_P(FullMemory, SpreadChunksScoreAsTheCpuDoes) { expect_same(score(*open(), list_), unlimited()); }

TEST_P(FullMemory, SeveralCardsScoreAsOneDoes) {
  const auto model = open(3);
  expect_same(score(*model, list_), unlimited());
  EXPECT_EQ(model->info().threads, 3);
}

TEST_P(FullMemory, ChunksAreHalvedUntilTheyFit) {
  for (const std::size_t good : {0, 1, 9, 25}) {  // the failure comes at once, or in the middle of some block
    limits_->most_rows = 100;
    limits_->good_tensors = good;
    limits_->refused = 0;
    expect_same(score(*open(), list_), unlimited());
    EXPECT_EQ(limits_->refused, 4u) << good;  // 1287 rows, 644, 322, 161; then 81
  }
}

// A chunk that needs more memory than those before it, and does not get it, finds states that were moved on
// by them.
TEST_P(FullMemory, AChunkThatFailsLaterIsDoneAgainFromItsStates) {
  const std::vector<Sequence> list = {
      {.tokens = texts_[4], .first = 150}};  // the second chunk needs the head
  const auto want = score(*open_golden(golden("rwkv/" + GetParam() + "/model.pth")), list).scores.at(0);
  limits_->chunk_rows = 128;
  limits_->most_rows = 100;
  std::size_t redone = 0;
  for (std::size_t good = 0; good < 200; good += 3) {
    limits_->good_tensors = good;
    limits_->refused = 0;
    const Collected got = score(*open(), list);
    if (limits_->refused == 0) break;
    if (got.failures.empty()) {
      EXPECT_TRUE(same_bits(got.scores.at(0), want)) << "after " << good << " tensors";
      ++redone;
    } else {  // a chunk like one that had succeeded
      EXPECT_NE(got.failures.at(0).find("the card has no room"), std::string::npos);
    }
  }
  EXPECT_GE(redone, 8u);
}

TEST_P(FullMemory, WhereNothingFitsDocumentsFailWithTheReason) {
  limits_->most_rows = 40;
  const Collected got = score(*open(), list_);
  EXPECT_EQ(got.scores.size() + got.failures.size(), list_.size());
  EXPECT_GE(got.failures.size(), 1u);
  for (const auto& [index, reason] : got.failures) {
    EXPECT_NE(reason.find("the card has no room for"), std::string::npos) << reason;
  }
}

TEST_P(FullMemory, FewerStatesAreTakenWhereTheyDoNotFit) {
  limits_->most_slots = 2;
  expect_same(score(*open(), list_), unlimited());
  EXPECT_GE(limits_->refused, 1u);
}

TEST_P(FullMemory, RowsOfLogitsSurviveTheHalving) {
  const Collected want = score(*open_golden(golden("rwkv/" + GetParam() + "/model.pth")), list_, true);
  limits_->most_rows = 100;
  const Collected got = score(*open(), list_, true);
  ASSERT_TRUE(got.failures.empty()) << got.failures.begin()->second;
  for (std::size_t i = 0; i < list_.size(); ++i) {
    ASSERT_EQ(got.positions.at(i), want.positions.at(i));
    EXPECT_EQ(got.logits.at(i), want.logits.at(i)) << "document " << i;
  }
}

TEST_P(FullMemory, AModelThatDoesNotFitIsRefusedWithBothNumbers) {
  limits_->free_bytes = std::uint64_t{100} << 20;
  const std::string error = error_of([&] { open(); });
  EXPECT_NE(error.find("0.10 GiB are free"), std::string::npos) << error;
  EXPECT_NE(error.find("the model needs 0."), std::string::npos) << error;
  EXPECT_NE(error.find("--device cpu"), std::string::npos) << error;
}

INSTANTIATE_TEST_SUITE_P(All, FullMemory,
                         testing::Values("rwkv4-small", "rwkv5.2-small", "rwkv6-small", "rwkv7-small"),
                         [](const auto& info) { return std::to_string(info.index); });

TEST(FullMemoryOfLargeModels, NothingIsLoadedBeforeItIsKnownToFit) {
  const auto limits = std::make_shared<Limits>();
  limits->free_bytes = std::uint64_t{10} << 30;
  const LimitedBackend backend(cpu_backend(), limits);
  const Checkpoint weights = random_rwkv(random_spec("rwkv7-7.2b"));
  const std::string error = error_of([&] { check_rwkv(weights, backend, "bf16a"); });
  EXPECT_NE(error.find("(weights 13."), std::string::npos) << error;
  EXPECT_NE(error.find("--mode int8"), std::string::npos) << error;
  EXPECT_NO_THROW(check_rwkv(weights, backend, "int8"));
  limits->free_bytes = std::uint64_t{16} << 30;
  EXPECT_NO_THROW(check_rwkv(weights, backend, "bf16a"));
}

}  // namespace
}  // namespace deciban
