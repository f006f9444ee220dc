#include "bench/gate_ab.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <stdexcept>

#include "bench/line_process.h"

namespace deciban {
namespace {

struct Asked {
  int timer;
  std::size_t side;
  std::string name;
};

// A timer that answers what a table says, and notes who was asked.
class FakeTimer final : public Timer {
 public:
  FakeTimer(int id, std::size_t side, std::vector<Asked>& log) : id_(id), side_(side), log_(log) {}
  double time(const TimingRequest& request) override {
    log_.push_back({id_, side_, request.name});
    return side_ == 0 ? 2.0 : 3.0 + static_cast<double>(log_.size() % 2);
  }

 private:
  int id_;
  std::size_t side_;
  std::vector<Asked>& log_;
};

TEST(TakeRounds, EverySideMeasuresEveryCaseInNewTimersEachRound) {
  std::vector<Asked> log;
  int timers = 0;
  std::map<int, std::uint64_t> draws;
  RoundOptions options;
  options.rounds = 4;
  const RoundsResult result = take_rounds({"a", "b", "c"}, 2,
                                          [&](std::size_t side, std::uint64_t draw) {
                                            draws[timers] = draw;
                                            return std::make_unique<FakeTimer>(timers++, side, log);
                                          },
                                          options, {});
  EXPECT_EQ(timers, 8);
  EXPECT_EQ(log.size(), 4u * 3 * 2 * 2);  // rounds, cases, sides, turns
  for (int round = 0; round < 4; ++round) EXPECT_EQ(draws[2 * round], draws[2 * round + 1]);
  ASSERT_EQ(result.cases.size(), 3u);
  for (const CaseSamples& c : result.cases) {
    EXPECT_EQ(c.sides[0], std::vector<double>(4, 2.0));
    for (const double s : c.sides[1]) EXPECT_TRUE(s == 3 || s == 4);
  }
  // Within a case the sides alternate as ABBA, and not always the same one begins.
  std::set<std::size_t> begins;
  for (std::size_t i = 0; i < log.size(); i += 4) {
    EXPECT_EQ(log[i].name, log[i + 3].name);
    EXPECT_EQ(log[i].side, log[i + 3].side);
    EXPECT_EQ(log[i + 1].side, log[i + 2].side);
    EXPECT_NE(log[i].side, log[i + 1].side);
    begins.insert(log[i].side);
  }
  EXPECT_EQ(begins.size(), 2u);
}

TEST(TakeRounds, AnInterruptedRoundLeavesNoSamples) {
  std::vector<Asked> log;
  std::atomic<bool> stop = false;
  RoundOptions options;
  options.rounds = 5;
  options.stop = &stop;
  const RoundsResult result = take_rounds(
      {"a", "b"}, 2,
      [&](std::size_t side, std::uint64_t) { return std::make_unique<FakeTimer>(0, side, log); }, options,
      [&](int round, int) { stop = round == 2; });
  EXPECT_TRUE(result.interrupted);
  for (const CaseSamples& c : result.cases) EXPECT_EQ(c.sides[0].size(), 2u);
}

TEST(CaseNames, AreChosenByExpression) {
  const auto names = gate_case_names({"avx2"}, "^wkv7 64x");
  ASSERT_EQ(names.size(), 1u);
  EXPECT_TRUE(names[0].ends_with(" @avx2"));
  EXPECT_THROW(gate_case_names({"avx2"}, "no such"), std::invalid_argument);
  EXPECT_THROW(gate_case_names({"avx2"}, "("), std::invalid_argument);
  const auto all = gate_case_names(kernel_tables(), "");
  EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), all.size());
}

TEST(LineProcess, AnswersLineByLine) {
  LineProcess cat({"/bin/cat"}, 0);
  EXPECT_EQ(cat.ask("one", 10, nullptr), "one");
  EXPECT_EQ(cat.ask("two", 10, nullptr), "two");
}

TEST(LineProcess, ItsEndIsAnError) {
  LineProcess gone({"/bin/true"});
  EXPECT_THROW(gone.ask("x", 10, nullptr), std::runtime_error);
  EXPECT_THROW(gone.ask("x", 10, nullptr), std::runtime_error);
  EXPECT_THROW(LineProcess({"/no/such/program"}), std::runtime_error);
}

TEST(LineProcess, NobodyWaitsForever) {
  LineProcess silent({"/bin/sleep", "100"});
  EXPECT_THROW(silent.ask("x", 0.05, nullptr), std::runtime_error);
  const std::atomic<bool> stop = true;
  EXPECT_THROW(silent.ask("x", 100, &stop), std::runtime_error);
}

TEST(AskHello, RefusesStrangers) { EXPECT_THROW(ask_hello("/bin/true", nullptr), std::runtime_error); }

}  // namespace
}  // namespace deciban
