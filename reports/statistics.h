// Estimates with their uncertainty, from per-document sums.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace deciban {

struct Interval {
  double low = 0, high = 0;
};

struct Estimate {
  double value = 0;                  // NaN if there is nothing to divide by
  std::optional<Interval> interval;  // absent: too few documents
  std::size_t documents = 0;
};

// One document's share of a ratio estimator: Σ numerator / Σ denominator (for bits per byte: bits and bytes).
struct RatioTerm {
  double numerator = 0, denominator = 0;
};

inline constexpr std::size_t kMinDocumentsForInterval = 10;

// How intervals are made from resampled documents.
//
// studentized: the bootstrap-t interval (Efron and Tibshirani 1993, An Introduction to the Bootstrap, §12.5)
// with the linearised standard error of a ratio, its two tails widened for small samples from a/2 to
// Phi(-sqrt(n / (n - strata)) t(a/2; n - strata)) (Hesterberg 2015, What Teachers Should Know about the
// Bootstrap, The American Statistician 69:371-386).  The default, since it alone keeps its promise for few
// documents with skewed ratios: see the coverage table in tests/reports/statistics_test.cc.  Where too many
// resamples have no spread to divide by, bca takes its place.  Where lengths are as skewed as ratios (both
// lognormal with sigma 1, independent), 95 % intervals of 200 documents hold about 93 %.
//
// bca: bias-corrected and accelerated percentiles (Efron 1987, Better Bootstrap Confidence Intervals, JASA
// 82:171-185), as SciPy's scipy.stats.bootstrap computes them.
enum class IntervalMethod { studentized, bca };

// Σ numerator / Σ denominator with its interval over documents.  No interval below kMinDocumentsForInterval
// documents. Deterministic in `seed`.  This and the next two throw std::invalid_argument if a term is not
// finite or a denominator negative.
Estimate ratio_estimate(std::span<const RatioTerm> documents, double confidence = 0.95,
                        std::uint64_t seed = 1, int resamples = 2000,
                        IntervalMethod method = IntervalMethod::studentized);

// Pooled ratio over several corpora, resampled within each corpus (stratified).  No interval if one of the
// corpora has fewer than kMinDocumentsForInterval documents; empty ones don't count.
Estimate pooled_estimate(std::span<const std::vector<RatioTerm>> corpora, double confidence = 0.95,
                         std::uint64_t seed = 1, int resamples = 2000,
                         IntervalMethod method = IntervalMethod::studentized);

// Unweighted mean of the corpora's ratios (macro average), resampled within each corpus.  NaN if a corpus is
// empty; no interval if one has fewer than kMinDocumentsForInterval documents.
Estimate macro_estimate(std::span<const std::vector<RatioTerm>> corpora, double confidence = 0.95,
                        std::uint64_t seed = 1, int resamples = 2000,
                        IntervalMethod method = IntervalMethod::studentized);

// Compensated (Neumaier) sum.
class CompensatedSum {
 public:
  void add(double value);
  double value() const { return sum_ + correction_; }

 private:
  double sum_ = 0, correction_ = 0;
};

}  // namespace deciban
