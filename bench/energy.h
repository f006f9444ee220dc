// Joules of a step, from a counter that may tick less often than steps are taken.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "reports/cost.h"

namespace deciban {

class Energy {
 public:
  // A stretch of `steps` steps, with the counter's readings before and behind it; not counted if one is
  // absent or the counter began anew between them.
  void add(std::optional<double> before, std::optional<double> after, std::size_t steps);
  // Joules of a step: the mean over all stretches, those in which the counter stood still too (their joules
  // come at once, in others), and 1.96 standard errors between stretches to both sides.  Absent if it never
  // moved.
  std::optional<CostValue> of_a_step() const;

 private:
  double joules_ = 0, steps_ = 0;
  std::vector<double> each_;  // stretch's joules a step
};

}  // namespace deciban
