#include "reports/order_statistics.h"

#include <algorithm>
#include <cstddef>
#include <stdexcept>

namespace deciban {
namespace {

// At a place among sorted values, which need not be whole.
double at(std::span<const double> sorted, double place) {
  if (!(place > 0)) return sorted.front();
  const auto below = static_cast<std::size_t>(place);
  if (below + 1 >= sorted.size()) return sorted.back();
  const double share = place - static_cast<double>(below), low = sorted[below], high = sorted[below + 1];
  // Not a weighted mean where they are equal: both may be infinite.
  return low == high ? low : low * (1 - share) + high * share;
}

}  // namespace

double quantile_of(std::vector<double> samples, double p) {
  if (samples.empty()) throw std::invalid_argument("a quantile of no samples");
  std::sort(samples.begin(), samples.end());
  return at(samples, p * static_cast<double>(samples.size() - 1));
}

double resampled_quantile(std::span<const double> sorted, double p) {
  return at(sorted, p * static_cast<double>(sorted.size() + 1) - 1);
}

}  // namespace deciban
