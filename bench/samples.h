// Repeated measurements of one quantity: when there are enough of them, and what they say.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "reports/cost.h"

namespace deciban {

// When a measurement is good enough.
struct SamplingGoal {
  std::size_t least_runs = 5;
  double least_seconds = 0.3;  // measured altogether
  double noise = 0.03;         // half the 95 % interval of the median, as a share of it
  double limit_seconds = 60;   // all runs of one quantity end by then, whatever the noise
};

// Median with its distribution-free 95 % interval: the order statistics between which the true median lies
// with that probability whatever the distribution (binomial with p = 1/2); the extremes if there are fewer
// than six samples.
CostValue median_of(std::vector<double> samples);

// Calls `run`, which returns the seconds (one or more samples) of a run, until the goal is met or its limit
// would be passed by another run.  The first call, which warms up, is not counted unless it alone takes a
// third of the limit.  `unmet` gets what of the goal was missed, in words beginning with `what`.
std::vector<double> sample(const std::function<std::vector<double>()>& run, const SamplingGoal& goal,
                           const std::string& what, std::vector<std::string>& unmet,
                           const std::function<double()>& clock);

double steady_seconds();

}  // namespace deciban
