#include "bench/energy.h"

#include <algorithm>
#include <cmath>

namespace deciban {

void Energy::add(std::optional<double> before, std::optional<double> after, std::size_t steps) {
  if (!before || !after || *after < *before || steps == 0) return;
  const auto count = static_cast<double>(steps);
  joules_ += *after - *before;
  steps_ += count;
  each_.push_back((*after - *before) / count);
}

std::optional<CostValue> Energy::of_a_step() const {
  if (!(joules_ > 0)) return std::nullopt;
  const double mean = joules_ / steps_;
  double squares = 0;
  for (const double one : each_) squares += (one - mean) * (one - mean);
  const auto n = static_cast<double>(each_.size());
  const double half = each_.size() > 1 ? 1.959964 * std::sqrt(squares / (n - 1) / n) : 0;
  return CostValue{mean, std::max(0.0, mean - half), mean + half, each_.size()};
}

}  // namespace deciban
