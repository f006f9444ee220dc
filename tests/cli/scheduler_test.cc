// The queue in front of a served model: what waits is scored together, a full queue refuses, failures stay
// with their prompt.
#include "cli/serve/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <future>

#include "tests/evals/fake_models.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using testing::HasSubstr;

Prompt prompt(std::vector<Token> tokens) {
  Prompt p;
  p.tokens = std::move(tokens);
  return p;
}

// Computes only when let go, and counts its calls.
class GatedModel : public fakes::HashModel {
 public:
  void score(SequenceSource& next, ScoreSink& done) override {
    ++calls;
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [&] { return open_; });
    HashModel::score(next, done);
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }
  std::atomic<int> calls = 0;

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

TEST(Scheduler, WhatWaitsIsScoredInOneCall) {
  GatedModel model;
  Scheduler scheduler(model, 16, 2);
  std::vector<std::future<std::vector<Completion>>> asked;
  for (Token i = 0; i < 8; ++i) {
    asked.push_back(std::async(std::launch::async, [&scheduler, i] {
      return scheduler.complete({prompt({i, 2, 3}), prompt({7, i})});
    }));
  }
  while (scheduler.waiting() < 8) std::this_thread::yield();
  model.open();
  for (Token i = 0; i < 8; ++i) {
    const auto got = asked[static_cast<std::size_t>(i)].get();
    ASSERT_EQ(got[0].scores.size(), 2u);
    const std::vector<Token> before{i, 2};
    EXPECT_EQ(got[0].scores[1].score.logprob, fakes::HashModel::of(before, 3).logprob);
    EXPECT_EQ(got[1].scores.size(), 1u);
  }
  EXPECT_EQ(model.calls, 1);
}

TEST(Scheduler, AFullQueueRefuses) {
  GatedModel model;
  Scheduler scheduler(model, 1, 2);
  auto first = std::async(std::launch::async, [&] { return scheduler.complete({prompt({1, 2})}); });
  while (scheduler.waiting() < 1) std::this_thread::yield();
  EXPECT_THROW(scheduler.complete({prompt({1, 2})}), Busy);
  model.open();
  EXPECT_TRUE(first.get()[0].error.empty());
  EXPECT_TRUE(scheduler.complete({prompt({1, 2})})[0].error.empty());
}

TEST(Scheduler, AFailureStaysWithItsPrompt) {
  fakes::TroubledModel model;
  model.when = {1};
  Scheduler scheduler(model, 4, 1);
  const auto got = scheduler.complete({prompt({1, 2}), prompt({3, 4}), prompt({5, 6})});
  EXPECT_EQ(got[0].scores.size(), 1u);
  EXPECT_EQ(got[1].error, "out of paper");
  EXPECT_EQ(got[2].scores.size(), 1u);
}

TEST(Scheduler, ALostModelFailsWhatItHeldAndIsAskedAgain) {
  fakes::TroubledModel model;
  model.trouble = fakes::TroubledModel::Trouble::throws;
  model.when = {0};
  Scheduler scheduler(model, 4, 1);
  EXPECT_THAT(scheduler.complete({prompt({1, 2})})[0].error, HasSubstr("the device is lost"));
  EXPECT_THAT(scheduler.complete({prompt({1, 2})})[0].error, HasSubstr("the device is lost"));
}

TEST(Scheduler, PromptsThatAskNothingAreDoneAtOnce) {
  GatedModel model;  // never opened
  Scheduler scheduler(model, 4, 1);
  EXPECT_TRUE(scheduler.complete({}).empty());
  EXPECT_TRUE(scheduler.complete({prompt({1})})[0].scores.empty());
}

TEST(Scheduler, ModelsThatOnlyScoreSaySo) {
  fakes::HashModel model;
  Scheduler scheduler(model, 4, 1);
  Prompt longer = prompt({1, 2});
  longer.continuation = 2;
  EXPECT_THAT(scheduler.complete({longer})[0].error, HasSubstr("can only score"));
}

}  // namespace
}  // namespace deciban
