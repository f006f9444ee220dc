// The resampled distribution of a ratio of sums: from one set of resamples intervals of any level and
// p-values are read.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "reports/statistics.h"

namespace deciban {

class RatioBootstrap {
 public:
  // Documents are drawn with replacement within each stratum, numerators and denominators together; `macro`
  // estimates the unweighted mean of the strata's ratios instead of the ratio of all sums.  Throws
  // std::invalid_argument if a term is not finite, a denominator negative, or `resamples` below 1.
  RatioBootstrap(std::span<const std::span<const RatioTerm>> strata, bool macro, std::uint64_t seed,
                 int resamples);
  ~RatioBootstrap();
  RatioBootstrap(RatioBootstrap&&) noexcept;
  RatioBootstrap& operator=(RatioBootstrap&&) noexcept;

  double value() const;  // NaN if there is nothing to divide by
  std::size_t documents() const;
  // The linearised standard error of the value; 0 with fewer than kMinDocumentsForInterval documents.
  double standard_error() const;
  // Documents less strata: the degrees of freedom of the standard error.
  double freedom() const;

  // None if a stratum has fewer than kMinDocumentsForInterval documents.  Throws std::invalid_argument for a
  // confidence that is not between 0 and 1.
  std::optional<Interval> interval(double confidence,
                                   IntervalMethod method = IntervalMethod::studentized) const;
  // Of the hypothesis that the true value is at least (at most) `null`: the tail at which the one-sided
  // studentized interval begins to hold it.  At least about 1 / resamples; none where there is no interval.
  std::optional<double> p_at_least(double null) const;
  std::optional<double> p_at_most(double null) const;
  // Two-sided: twice the smaller of the two.
  std::optional<double> p_equal(double null) const;

  // The same by Student's t alone, which holds its level where differences are symmetric with heavy tails.
  std::optional<Interval> student_interval(double confidence) const;
  std::optional<double> student_p_at_least(double null) const;
  std::optional<double> student_p_at_most(double null) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deciban
