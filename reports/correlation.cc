#include "reports/correlation.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace deciban {
namespace {

constexpr double kNormal975 = 1.959963984540054;

double coefficient(std::span<const double> x, std::span<const double> y) {
  if (x.size() != y.size()) throw std::invalid_argument("correlation: the two sides differ in length");
  const double n = static_cast<double>(x.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n,
               mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    yy += (y[i] - mean_y) * (y[i] - mean_y);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  return std::clamp(xy / std::sqrt(xx * yy), -1.0, 1.0);  // 0 / 0: NaN
}

std::optional<Interval> fisher(double r, double error) {
  if (!std::isfinite(r) || !std::isfinite(error)) return std::nullopt;
  if (std::abs(r) == 1) return Interval{r, r};
  const double z = std::atanh(r);
  return Interval{std::tanh(z - kNormal975 * error), std::tanh(z + kNormal975 * error)};
}

std::vector<double> ranks(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> result(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t end = i;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    const double mean = static_cast<double>(i + end + 1) / 2;
    for (; i < end; ++i) result[order[i]] = mean;
  }
  return result;
}

}  // namespace

Correlation pearson(std::span<const double> x, std::span<const double> y) {
  Correlation result{coefficient(x, y), std::nullopt};
  if (x.size() > 3) result.interval = fisher(result.value, 1 / std::sqrt(static_cast<double>(x.size()) - 3));
  return result;
}

Correlation spearman(std::span<const double> x, std::span<const double> y) {
  const std::vector<double> a = ranks(x), b = ranks(y);
  Correlation result{coefficient(a, b), std::nullopt};
  if (x.size() > 3) {
    const double error =
        std::sqrt((1 + result.value * result.value / 2) / (static_cast<double>(x.size()) - 3));
    result.interval = fisher(result.value, error);
  }
  return result;
}

}  // namespace deciban
