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
  double value = 0;
  std::optional<Interval> interval;  // absent: too few documents
  std::size_t documents = 0;
};

// One document's share of a ratio estimator: Σ numerator / Σ denominator (for bits per byte: bits and bytes).
struct RatioTerm {
  double numerator = 0, denominator = 0;
};

inline constexpr std::size_t kMinDocumentsForInterval = 10;

// Σ numerator / Σ denominator with its BCa bootstrap interval over documents (Efron 1987).  No interval below
// kMinDocumentsForInterval documents.  Deterministic in `seed`.
Estimate ratio_estimate(std::span<const RatioTerm> documents, double confidence = 0.95,
                        std::uint64_t seed = 1, int resamples = 2000);

// Pooled ratio over several corpora, resampled within each corpus (stratified).
Estimate pooled_estimate(std::span<const std::vector<RatioTerm>> corpora, double confidence = 0.95,
                         std::uint64_t seed = 1, int resamples = 2000);

// Unweighted mean of the corpora's ratios (macro average), resampled within each corpus.
Estimate macro_estimate(std::span<const std::vector<RatioTerm>> corpora, double confidence = 0.95,
                        std::uint64_t seed = 1, int resamples = 2000);

// Compensated (Neumaier) sum.
class CompensatedSum {
 public:
  void add(double value);
  double value() const { return sum_ + correction_; }

 private:
  double sum_ = 0, correction_ = 0;
};

}  // namespace deciban
