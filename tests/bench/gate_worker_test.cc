#include "bench/gate_worker.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "bench/gate_ab.h"

namespace deciban {
namespace {

// A clock that only calls move on.
struct Scripted {
  double now = 0;
  long calls = 0;
  std::vector<double> disturbed;  // seconds added to the n-th call
  double each = 1e-4;
  void call() {
    now += each + (static_cast<std::size_t>(calls) < disturbed.size() ? disturbed[calls] : 0);
    ++calls;
  }
};

TEST(FastestBatch, IgnoresWhatOnlyMakesSlower) {
  Scripted s;
  s.disturbed.assign(40, 0);
  s.disturbed[0] = 5;   // warming up
  s.disturbed[20] = 3;  // a neighbour
  EXPECT_NEAR(fastest_batch([&] { s.call(); }, 1e-3, 3, [&] { return s.now; }), 1e-4, 1e-12);
}

TEST(FastestBatch, BatchesAreAsLongAsAskedFor) {
  Scripted s;
  double last = 0;
  std::vector<double> marks;
  fastest_batch([&] { s.call(); }, 1e-3, 4,
                [&] {
                  marks.push_back(s.now);
                  return last = s.now;
                });
  ASSERT_GE(marks.size(), 8u);
  for (std::size_t i = marks.size() - 8; i + 1 < marks.size(); i += 2)
    EXPECT_GE(marks[i + 1] - marks[i], 1e-3 * 0.999);
}

// Time that does not move (a coarse clock) ends the search for a batch's size.
TEST(FastestBatch, EndsWithAClockThatStands) {
  long calls = 0;
  EXPECT_EQ(fastest_batch([&] { ++calls; }, 1, 1, [] { return 0.0; }), 0);
  EXPECT_GT(calls, 1000);
}

std::vector<std::string> answers(const std::string& lines) {
  std::istringstream in(lines);
  std::ostringstream out;
  answer_timings(in, out, 1);
  std::vector<std::string> replies;
  std::istringstream read(out.str());
  for (std::string line; std::getline(read, line);) replies.push_back(line);
  return replies;
}

TEST(Answers, TimesTheCasesThatItNames) {
  const Hello hello = parse_hello(answers(hello_line() + "\n").at(0));
  EXPECT_FALSE(hello.commit.empty());
  const std::vector<std::string> names = gate_case_names(kernel_tables(), "");
  EXPECT_EQ(hello.cases, names);
  TimingRequest request{gate_case_names({usual_kernel_table()}, "norm_rows 1x").at(0), 1e-5, 1};
  const std::string line = to_line(request) + "\n";
  const auto replies = answers(line + line);
  ASSERT_EQ(replies.size(), 2u);
  for (const std::string& reply : replies) {
    EXPECT_GT(parse_seconds(reply), 1e-9);
    EXPECT_LT(parse_seconds(reply), 1);
  }
}

TEST(Answers, SaysWhatItCannotDo) {
  for (const char* line :
       {"", "nonsense", "[]", "{}", R"({"case": "no such @avx2", "batch_seconds": 1, "batches": 1})",
        R"({"case": 3, "batch_seconds": 1, "batches": 1})",
        R"({"case": "norm_rows 1x384 f32/f32 @z80", "batch_seconds": 1e-6, "batches": 1})"}) {
    const auto replies = answers(std::string(line) + "\n");
    ASSERT_EQ(replies.size(), 1u) << line;
    EXPECT_THROW(parse_seconds(replies[0]), std::runtime_error) << line;
  }
}

TEST(Answers, AreReadWithCare) {
  EXPECT_THROW(parse_hello("{}"), std::runtime_error);
  EXPECT_THROW(parse_hello("hello"), std::runtime_error);
  EXPECT_THROW(parse_hello(R"({"hello": 99, "commit": "x", "cases": []})"), std::runtime_error);
  EXPECT_THROW(parse_hello(R"({"hello": 1})"), std::runtime_error);
  EXPECT_THROW(parse_seconds(R"({"seconds": "fast"})"), std::runtime_error);
  EXPECT_EQ(parse_seconds(R"({"seconds": 0.25})"), 0.25);
}

}  // namespace
}  // namespace deciban
