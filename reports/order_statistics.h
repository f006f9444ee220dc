// Quantiles of samples and of resampled distributions.
#pragma once

#include <span>
#include <vector>

namespace deciban {

// The p-quantile (0 … 1) of unsorted samples, interpolated between the neighbours of p (n − 1).  Throws
// std::invalid_argument if there are none.
double quantile_of(std::vector<double> samples, double p);

// The same of sorted values, at least one and none NaN, between the neighbours of p (n + 1), as tails of
// resampled distributions are read; beyond these the first or last value.
double resampled_quantile(std::span<const double> sorted, double p);

}  // namespace deciban
