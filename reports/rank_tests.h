// Rank tests of two sets of timings: how sure one is that the second is slower, and by how much.  Ranks ask
// nothing of the noise but that both sides have it alike, so heavy tails and outliers do no harm.
#pragma once

#include <optional>
#include <span>

#include "reports/statistics.h"

namespace deciban {

// A shift's estimate (Hodges and Lehmann 1963) and the interval that inverts the test; no interval if there
// are too few values for the confidence asked for.
struct ShiftEstimate {
  double value = 0;
  std::optional<Interval> interval;
};

// Wilcoxon's signed-rank test.  The probability of a rank sum as large as that of `differences` - `shift` if
// their centre were `shift` at most: small values are evidence that it lies above.  Zeros are left out, equal
// sizes share their mean rank.  Exact up to 50 differences (ties included), then normal with the correction
// for ties.  1 if nothing is left.
double signed_rank_above(std::span<const double> differences, double shift);

// The median of the pairwise means, and the values of the centre that the exact two-sided test at
// 1 - `confidence` does not reject.
ShiftEstimate signed_rank_shift(std::span<const double> differences, double confidence);

// Mann and Whitney's test for two independent samples: the probability of a U as large as that of `second` -
// `shift` against `first` if the second lay `shift` above the first at most.  Exact without ties up to 400
// pairs, else normal with corrections for ties and continuity.  1 if one of them is empty.
double mann_whitney_above(std::span<const double> first, std::span<const double> second, double shift);

// The median of all differences second - first, and the shifts that the two-sided test does not reject.
ShiftEstimate mann_whitney_shift(std::span<const double> first, std::span<const double> second,
                                 double confidence);

}  // namespace deciban
