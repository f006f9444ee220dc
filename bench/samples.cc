#include "bench/samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "reports/order_statistics.h"

namespace deciban {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

CostValue median_of(std::vector<double> samples) {
  if (samples.empty()) throw std::invalid_argument("a median of no samples");
  std::sort(samples.begin(), samples.end());
  const std::size_t n = samples.size();
  // The largest k with P(Binomial(n, 1/2) < k) <= 2.5 %: the interval is from the k-th smallest to the k-th
  // largest sample.  Probabilities in logarithms, since 2^-n underflows.
  std::size_t k = 0;
  double tail = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double m = static_cast<double>(n), j = static_cast<double>(i);
    tail += std::exp(std::lgamma(m + 1) - std::lgamma(j + 1) - std::lgamma(m - j + 1) - m * std::log(2.0));
    if (tail > 0.025) break;
    k = i + 1;
  }
  const std::size_t low = k == 0 ? 0 : k - 1;
  return {quantile_of(samples, 0.5), samples[low], samples[n - 1 - low], n};
}

std::vector<double> sample(const std::function<std::vector<double>()>& run, const SamplingGoal& goal,
                           const std::string& what, std::vector<std::string>& unmet,
                           const std::function<double()>& clock) {
  const double start = clock();
  std::vector<double> all = run();
  double last = clock() - start;
  if (last < goal.limit_seconds / 3) all.clear();
  double measured = std::accumulate(all.begin(), all.end(), 0.0);
  std::size_t runs = all.empty() ? 0 : 1;
  const auto noise = [&] {
    if (all.size() < 2) return 1.0;
    const CostValue median = median_of(all);
    return (median.high - median.low) / 2 / median.value;
  };
  while (runs < goal.least_runs || measured < goal.least_seconds || noise() > goal.noise) {
    const double before = clock();
    if (!all.empty() && before - start + last > goal.limit_seconds) break;
    const std::vector<double> more = run();
    last = clock() - before;
    measured += std::accumulate(more.begin(), more.end(), 0.0);
    all.insert(all.end(), more.begin(), more.end());
    ++runs;
  }
  if (runs < goal.least_runs) unmet.push_back(fmt::format("{}: {} of {} runs", what, runs, goal.least_runs));
  if (measured < goal.least_seconds)
    unmet.push_back(fmt::format("{}: {:.2g} of {:.2g} s", what, measured, goal.least_seconds));
  if (all.size() < 2) {
    unmet.push_back(what + ": noise unknown");
  } else if (const double left = noise(); left > goal.noise) {
    unmet.push_back(fmt::format("{}: noise {:.1f} % above {:.1f} %", what, 100 * left, 100 * goal.noise));
  }
  return all;
}

}  // namespace deciban
