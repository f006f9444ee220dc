// Google Benchmark's JSON: timings of anybody's project in, the gate's own out.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "reports/speed_verdict.h"

namespace deciban {

struct BenchmarkRun {
  std::map<std::string, std::string> context;          // what was text in "context"
  std::vector<std::string> order;                      // names as they first appear
  std::map<std::string, std::vector<double>> seconds;  // per iteration, of each repetition
  std::vector<std::string> failed;                     // names of benchmarks that reported an error
};

// Reads a file of `--benchmark_out` (format json).  Aggregates are left out.  The processor time is taken, or
// the clock's where the benchmark asks for it ("/real_time", "/manual_time" in its name).  Throws
// std::runtime_error naming the file and the entry that is wrong.
BenchmarkRun read_benchmark_json(const std::filesystem::path& path);
BenchmarkRun parse_benchmark_json(std::string_view text, const std::string& source);

// Whether a file begins like JSON, which no program does.
bool looks_like_json(const std::filesystem::path& path);

// In the same form, a repetition each sample, so that Google Benchmark's own compare.py reads it too.
std::string to_benchmark_json(const BenchmarkRun& run);

// Two runs side by side: the cases of both, in the first's order.  They are paired by repetition if both
// carry the same "deciban_rounds" (written by one `gate ab`).
struct BenchmarkPair {
  std::vector<SpeedSamples> cases;
  std::vector<std::string> only_before, only_after;
};
BenchmarkPair compare_runs(const BenchmarkRun& before, const BenchmarkRun& after);

inline constexpr std::string_view kRoundsKey = "deciban_rounds";

}  // namespace deciban
