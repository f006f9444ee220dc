// Correlation between two figures of the same models, with intervals.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "reports/statistics.h"

namespace deciban {

struct Correlation {
  double value = 0;                  // NaN if one side has no spread, or there are fewer than two pairs
  std::optional<Interval> interval;  // 95 %, by Fisher's z; from four pairs on
};

// Throws std::invalid_argument if the sides differ in length.
Correlation pearson(std::span<const double> x, std::span<const double> y);
// Of ranks, ties sharing their mean; the standard error of z is sqrt((1 + r²/2) / (n − 3)) (Bonett and Wright
// 2000, Psychometrika 65:23-28).
Correlation spearman(std::span<const double> x, std::span<const double> y);

}  // namespace deciban
