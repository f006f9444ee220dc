// deciban bench: what models cost at each length: time, memory, and how both grow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/sweep.h"
#include "cli/console.h"

namespace deciban {

// The command's options, as words.
struct BenchOptions {
  std::vector<std::string> models, labels;
  std::string lengths, batches, preset, output;
  std::string device = "auto", mode = "auto", tokenizer = "auto";
  int threads = 0;
  std::size_t generate = 1024, least_runs = 5;
  double least_seconds = 0.3, noise = 3, limit_seconds = 60;
  std::uint64_t seed = 1;
  bool deterministic = false, point = false;
};

// "256,512,1024" or "256..65536" (doubling) or both, each from 1 to 2^24.  Throws std::invalid_argument.
std::vector<std::size_t> parse_lengths(const std::string& word);

// Returns the exit code.  Throws std::invalid_argument for options that make no sense, std::runtime_error for
// what fails; points measured until then are kept.  `measure` is a child process but in tests.
int bench(const BenchOptions& options, const Console& console, MeasurePoint measure = {});

}  // namespace deciban
