#include "reports/google_benchmark.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace deciban {
namespace {

// As Google Benchmark 1.7 writes it, shortened.
constexpr const char* kFile = R"({
  "context": {"date": "2026-01-01T00:00:00+00:00", "host_name": "h", "num_cpus": 2, "caches": [], "library_build_type": "release"},
  "benchmarks": [
    {"name": "BM_Copy/8", "run_name": "BM_Copy/8", "run_type": "iteration", "repetitions": 2, "repetition_index": 0,
     "threads": 1, "iterations": 100, "real_time": 9.0, "cpu_time": 2.5, "time_unit": "us"},
    {"name": "BM_Copy/8", "run_name": "BM_Copy/8", "run_type": "iteration", "repetitions": 2, "repetition_index": 1,
     "threads": 1, "iterations": 100, "real_time": 9.5, "cpu_time": 3.5, "time_unit": "us"},
    {"name": "BM_Copy/8_mean", "run_name": "BM_Copy/8", "run_type": "aggregate", "aggregate_name": "mean",
     "real_time": 9.25, "cpu_time": 3.0, "time_unit": "us"},
    {"name": "BM_Wait/real_time", "run_name": "BM_Wait/real_time", "run_type": "iteration", "real_time": 7, "cpu_time": 1, "time_unit": "ms"},
    {"name": "BM_Bad", "run_name": "BM_Bad", "run_type": "iteration", "error_occurred": true, "error_message": "no"}
  ]
})";

TEST(GoogleBenchmark, ReadsRepetitions) {
  const BenchmarkRun run = parse_benchmark_json(kFile, "f");
  EXPECT_EQ(run.order, (std::vector<std::string>{"BM_Copy/8", "BM_Wait/real_time"}));
  ASSERT_EQ(run.seconds.at("BM_Copy/8").size(), 2u);
  EXPECT_DOUBLE_EQ(run.seconds.at("BM_Copy/8")[0], 2.5e-6);
  EXPECT_DOUBLE_EQ(run.seconds.at("BM_Wait/real_time")[0], 7e-3);
  EXPECT_EQ(run.failed, std::vector<std::string>{"BM_Bad"});
  EXPECT_EQ(run.context.at("host_name"), "h");
}

TEST(GoogleBenchmark, ReadsBackWhatItWrote) {
  BenchmarkRun run;
  run.context = {{"cpu", "x"}};
  run.order = {"b", "a"};
  run.seconds = {{"a", {1e-9, 2e-3}}, {"b", {3}}};
  const BenchmarkRun back = parse_benchmark_json(to_benchmark_json(run), "f");
  EXPECT_EQ(back.order, run.order);
  EXPECT_EQ(back.context, run.context);
  for (const auto& [name, seconds] : run.seconds) {
    ASSERT_EQ(back.seconds.at(name).size(), seconds.size());
    for (std::size_t i = 0; i < seconds.size(); ++i)
      EXPECT_NEAR(back.seconds.at(name)[i] / seconds[i], 1, 1e-14);
  }
}

TEST(GoogleBenchmark, RefusesWhatIsNone) {
  for (const char* text : {"", "{", "[]", "{}", R"({"benchmarks": {}})", R"({"benchmarks": []})",
                           R"({"benchmarks": [{"name": "x"}]})", R"({"benchmarks": [3]})",
                           R"({"benchmarks": [{"name": "x", "cpu_time": 0, "time_unit": "ns"}]})",
                           R"({"benchmarks": [{"name": "x", "cpu_time": 1, "time_unit": "years"}]})"}) {
    EXPECT_THROW(parse_benchmark_json(text, "f"), std::runtime_error) << text;
  }
  try {
    parse_benchmark_json(R"({"benchmarks": [{"name": "x", "cpu_time": 1, "time_unit": "years"}]})",
                         "file.json");
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "file.json: benchmarks[0]: unknown time_unit 'years' (known: ns, us, ms, s)");
  }
}

TEST(CompareRuns, TakesWhatBothHave) {
  BenchmarkRun before, after;
  before.order = {"a", "b"};
  before.seconds = {{"a", {1, 2}}, {"b", {1, 2}}};
  after.order = {"c", "a"};
  after.seconds = {{"a", {3, 4}}, {"c", {1}}};
  BenchmarkPair c = compare_runs(before, after);
  ASSERT_EQ(c.cases.size(), 1u);
  EXPECT_EQ(c.cases[0].name, "a");
  EXPECT_EQ(c.cases[0].after, (std::vector<double>{3, 4}));
  EXPECT_FALSE(c.cases[0].paired);
  EXPECT_EQ(c.only_before, std::vector<std::string>{"b"});
  EXPECT_EQ(c.only_after, std::vector<std::string>{"c"});
  before.context[std::string(kRoundsKey)] = after.context[std::string(kRoundsKey)] = "one run";
  EXPECT_TRUE(compare_runs(before, after).cases[0].paired);
  after.context[std::string(kRoundsKey)] = "another";
  EXPECT_FALSE(compare_runs(before, after).cases[0].paired);
}

}  // namespace
}  // namespace deciban
