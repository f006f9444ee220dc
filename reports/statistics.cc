#include "reports/statistics.h"

#include <cmath>

#include "reports/bootstrap.h"

namespace deciban {
namespace {

Estimate estimate(std::span<const std::span<const RatioTerm>> strata, bool macro, double confidence,
                  std::uint64_t seed, int resamples, IntervalMethod method) {
  const RatioBootstrap bootstrap(strata, macro, seed, resamples);
  return {bootstrap.value(), bootstrap.interval(confidence, method), bootstrap.documents()};
}

Estimate stratified(std::span<const std::vector<RatioTerm>> corpora, bool macro, double confidence,
                    std::uint64_t seed, int resamples, IntervalMethod method) {
  const std::vector<std::span<const RatioTerm>> strata(corpora.begin(), corpora.end());
  return estimate(strata, macro, confidence, seed, resamples, method);
}

}  // namespace

Estimate ratio_estimate(std::span<const RatioTerm> documents, double confidence, std::uint64_t seed,
                        int resamples, IntervalMethod method) {
  return estimate({&documents, 1}, false, confidence, seed, resamples, method);
}

Estimate pooled_estimate(std::span<const std::vector<RatioTerm>> corpora, double confidence,
                         std::uint64_t seed, int resamples, IntervalMethod method) {
  return stratified(corpora, false, confidence, seed, resamples, method);
}

Estimate macro_estimate(std::span<const std::vector<RatioTerm>> corpora, double confidence,
                        std::uint64_t seed, int resamples, IntervalMethod method) {
  return stratified(corpora, true, confidence, seed, resamples, method);
}

void CompensatedSum::add(double value) {
  const double sum = sum_ + value;
  // The smaller of the two loses its low bits: keep them (Neumaier 1974).
  correction_ += std::abs(sum_) >= std::abs(value) ? (sum_ - sum) + value : (value - sum) + sum_;
  sum_ = sum;
}

}  // namespace deciban
