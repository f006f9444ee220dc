// deciban bench mixers: Table 1 of the RWKV paper, measured: one layer's sequence mixers, their time and
// memory against length and width, and the laws of both beside those that the paper states.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/samples.h"
#include "cli/console.h"
#include "reports/cost.h"
#include "reports/table.h"

namespace deciban {

// The command's options, as words.
struct BenchMixersOptions {
  std::string lengths, widths, output;
  std::vector<std::string> only;
  std::size_t least_runs = 3;
  double least_seconds = 0.1, noise = 5, limit_seconds = 20;
  std::uint64_t seed = 1;
};

// One point; `before` is the point of the same mixer and width at the next shorter length (null if there is
// none): where its time says that this one cannot be done within the limit, it is marked and not tried.
struct MixerRequest {
  std::string name, machine;
  std::size_t length = 0, width = 0;
  SamplingGoal goal;
  double longest_run = 20;  // seconds
};
std::string mixer_point_key(const MixerRequest& request);
CostPoint measure_mixer(const MixerRequest& request, const CostPoint* before);

// A row a mixer: its times at the longest length, the laws of time and memory that were found, the paper's,
// and whether they agree.
Table mixer_laws_table(const std::vector<CostPoint>& points, std::uint64_t seed);
// A row a mixer and length: time and memory at each width.
Table mixer_cost_table(const std::vector<CostPoint>& points);

// Returns the exit code.  Throws std::invalid_argument for options that make no sense; points measured until
// an error or an interrupt are kept.
int bench_mixers(const BenchMixersOptions& options, const Console& console);

}  // namespace deciban
