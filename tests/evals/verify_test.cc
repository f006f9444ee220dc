#include "evals/codec/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "evals/compression.h"
#include "tests/scratch_directory.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

using ::testing::HasSubstr;

// A model whose steps compute other probabilities than its scores.
class Stepping : public LanguageModel {
 public:
  // `drift` is added to a logit at each step; with `restless` it grows from step to step, so that the same
  // text never gets the same probabilities twice.
  Stepping(std::unique_ptr<LanguageModel> inner, float drift, bool restless)
      : inner_(std::move(inner)), drift_(drift), restless_(restless) {}
  const ModelInfo& info() const override { return inner_->info(); }
  std::vector<Token> encode(std::string_view text) const override { return inner_->encode(text); }
  std::string decode(std::span<const Token> tokens) const override { return inner_->decode(tokens); }
  void score(SequenceSource& next, ScoreSink& done) override { inner_->score(next, done); }
  std::unique_ptr<Batch> start_batch(std::size_t n) override {
    return std::make_unique<Drifting>(inner_->start_batch(n), *this);
  }

 private:
  class Drifting : public Batch {
   public:
    Drifting(std::unique_ptr<Batch> inner, Stepping& model) : inner_(std::move(inner)), model_(model) {}
    LogitRows step(std::span<const Token> tokens) override {
      const LogitRows rows = inner_->step(tokens);
      logits_.assign(rows.data, rows.data + rows.rows * rows.columns);
      for (std::size_t i = 0; i < rows.rows; ++i) logits_[i * rows.columns + 'e'] += model_.drift_;
      if (model_.restless_) model_.drift_ += 0.01f;
      return {logits_.data(), rows.rows, rows.columns};
    }
    void reset(std::size_t i) override { inner_->reset(i); }
    void copy(std::size_t from, std::size_t to) override { inner_->copy(from, to); }
    std::size_t state_bytes() const override { return inner_->state_bytes(); }

   private:
    std::unique_ptr<Batch> inner_;
    Stepping& model_;
    std::vector<float> logits_;
  };

  std::unique_ptr<LanguageModel> inner_;
  float drift_;
  bool restless_;
};

class VerifyTest : public ::testing::Test {
 protected:
  VerifyTest() : corpus_(read_corpus(source_dir() / "datasets/demo/texts")) {
    for (Document& document : corpus_.documents)
      document.text.resize(std::min<std::size_t>(700, document.text.size()));
    options_.windowing = Windowing::parse("whole");
    options_.limit = Limit::parse("4");
  }
  static std::unique_ptr<LanguageModel> model() {
    ModelOptions options;
    options.device = "cpu";
    options.threads = 1;
    return open_model((source_dir() / "datasets/demo/rwkv7").string(), options);
  }
  RunSummary code(LanguageModel& model, RunDirectory& directory, const char* sample = "all") {
    const Corpus* corpus = &corpus_;
    CompressionTask task;
    Task* const tasks = &task;
    run(model, {&tasks, 1}, {&corpus, 1}, options_, directory);
    return record_coded(model, {&corpus, 1}, options_, Limit::parse(sample), directory);
  }

  Corpus corpus_;
  RunOptions options_;
  ScratchDirectory scratch_;
};

TEST_F(VerifyTest, CodedIsWhatWasClaimed) {
  RunDirectory directory(scratch_.path(), "");
  const auto rwkv = model();
  const RunSummary first = code(*rwkv, directory, "2");
  EXPECT_EQ(first.progress.done, 2u);
  EXPECT_EQ(first.progress.failed, 0u);
  const RunSummary all = code(*rwkv, directory);
  EXPECT_EQ(all.progress.resumed, 2u);
  EXPECT_EQ(all.progress.done, 2u);
  const Table table = coded_table(read_records({scratch_.path()}));
  ASSERT_EQ(table.rows.size(), 1u);
  EXPECT_EQ(table.rows[0][2].text, "4");
  EXPECT_NEAR(std::stod(table.rows[0][4].value), std::stod(table.rows[0][5].value), 4 * 2);
  EXPECT_GT(std::stod(table.rows[0][8].value), std::stod(table.rows[0][7].value));
}

TEST_F(VerifyTest, OtherProbabilitiesThanClaimedAreFound) {
  RunDirectory directory(scratch_.path(), "");
  Stepping other(model(), 3, false);
  const RunSummary summary = code(other, directory);
  EXPECT_EQ(summary.progress.failed, 4u);
  EXPECT_THAT(summary.first_failure, HasSubstr("and its log-probabilities claim"));
}

TEST_F(VerifyTest, ProbabilitiesThatChangeAreFound) {
  RunDirectory directory(scratch_.path(), "");
  Stepping other(model(), 0, true);
  const RunSummary summary = code(other, directory);
  EXPECT_EQ(summary.progress.failed, 4u);
  EXPECT_THAT(summary.first_failure, HasSubstr("does not decode to itself"));
  EXPECT_THAT(coded_table(read_records({scratch_.path()})).notes.front(), HasSubstr("4 of 4 documents"));
}

}  // namespace
}  // namespace deciban
