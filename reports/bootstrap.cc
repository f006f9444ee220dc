#include "reports/bootstrap.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "reports/order_statistics.h"
#include "reports/random.h"

namespace deciban {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double normal_cdf(double z) { return boost::math::cdf(boost::math::normal(), z); }
double normal_quantile(double p) { return boost::math::quantile(boost::math::normal(), p); }

// The ratio's residual numerator − centre · denominator, in which the ratio is linear up to its denominator.
struct Residual {
  double residual, denominator;
};

struct Stratum {
  std::vector<Residual> documents;
  double denominator = 0;  // Σ
};

// One resample: how far its estimate lies from the sample's, and its own standard error.
struct Draw {
  double shift, error;
};

// A ratio (pooled) or a mean of ratios (macro) over strata, with what resampling needs.
class Estimator {
 public:
  Estimator(std::span<const std::span<const RatioTerm>> strata, bool macro);

  double value() const { return value_; }
  std::size_t documents() const { return documents_; }
  std::size_t strata() const { return strata_.size(); }
  bool enough() const;

  // The sample's own standard error.
  double error() const;
  Draw draw(Random& random) const;
  // Efron's acceleration from leaving out one document at a time.
  double acceleration() const;

 private:
  struct Sums {
    double residual = 0, denominator = 0, residual2 = 0, product = 0, denominator2 = 0;
    void add(const Residual& document) {
      residual += document.residual;
      denominator += document.denominator;
      residual2 += document.residual * document.residual;
      product += document.residual * document.denominator;
      denominator2 += document.denominator * document.denominator;
    }
    // Variance of a sum of n documents' residuals about `shift` more than their centre.
    double variance(double shift, double n) const {
      const double sum = residual - shift * denominator;
      const double squares = residual2 - 2 * shift * product + shift * shift * denominator2;
      return std::max(0.0, n / (n - 1) * (squares - sum * sum / n));
    }
  };
  Draw combine(std::span<const Sums> sums) const;

  std::vector<Stratum> strata_;
  bool macro_;
  double value_ = kNan;
  std::size_t documents_ = 0;
};

Estimator::Estimator(std::span<const std::span<const RatioTerm>> strata, bool macro) : macro_(macro) {
  CompensatedSum all_numerators, all_denominators;
  CompensatedSum ratios;
  std::vector<double> centres;
  for (const std::span<const RatioTerm> terms : strata) {
    CompensatedSum numerators, denominators;
    for (const RatioTerm& term : terms) {
      if (!std::isfinite(term.numerator) || !std::isfinite(term.denominator) || term.denominator < 0) {
        throw std::invalid_argument(
            fmt::format("document {} has the ratio {} / {}; wanted are finite numbers and no "
                        "negative denominator",
                        &term - terms.data(), term.numerator, term.denominator));
      }
      numerators.add(term.numerator);
      denominators.add(term.denominator);
      all_numerators.add(term.numerator);
      all_denominators.add(term.denominator);
    }
    documents_ += terms.size();
    if (terms.empty() && !macro) continue;
    centres.push_back(denominators.value() > 0 ? numerators.value() / denominators.value() : kNan);
    ratios.add(centres.back());
    strata_.push_back({{}, denominators.value()});
    strata_.back().documents.reserve(terms.size());
    for (const RatioTerm& term : terms)
      strata_.back().documents.push_back({term.numerator, term.denominator});
  }
  if (strata_.empty()) return;
  if (macro) {
    value_ = ratios.value() / static_cast<double>(strata_.size());
  } else if (all_denominators.value() > 0) {
    value_ = all_numerators.value() / all_denominators.value();
  }
  for (std::size_t s = 0; s < strata_.size(); ++s) {
    const double centre = macro ? centres[s] : value_;
    for (Residual& document : strata_[s].documents) document.residual -= centre * document.denominator;
  }
}

bool Estimator::enough() const {
  return std::isfinite(value_) && std::all_of(strata_.begin(), strata_.end(), [](const Stratum& stratum) {
           return stratum.documents.size() >= kMinDocumentsForInterval;
         });
}

Draw Estimator::combine(std::span<const Sums> sums) const {
  Draw result{0, 0};
  if (macro_) {
    const double count = static_cast<double>(strata_.size());
    for (std::size_t s = 0; s < sums.size(); ++s) {
      const double shift = sums[s].residual / sums[s].denominator;
      const double n = static_cast<double>(strata_[s].documents.size());
      result.shift += shift / count;
      result.error +=
          sums[s].variance(shift, n) / (sums[s].denominator * sums[s].denominator * count * count);
    }
  } else {
    double denominator = 0;
    for (const Sums& sum : sums) {
      result.shift += sum.residual;
      denominator += sum.denominator;
    }
    result.shift /= denominator;
    for (std::size_t s = 0; s < sums.size(); ++s) {
      const double n = static_cast<double>(strata_[s].documents.size());
      result.error += sums[s].variance(result.shift, n) / (denominator * denominator);
    }
  }
  result.error = std::sqrt(result.error);
  return result;
}

double Estimator::error() const {
  std::vector<Sums> sums(strata_.size());
  for (std::size_t s = 0; s < strata_.size(); ++s) {
    for (const Residual& document : strata_[s].documents) sums[s].add(document);
  }
  return combine(sums).error;
}

Draw Estimator::draw(Random& random) const {
  std::vector<Sums> sums(strata_.size());
  for (std::size_t s = 0; s < strata_.size(); ++s) {
    const Residual* documents = strata_[s].documents.data();
    const auto count = static_cast<std::uint32_t>(strata_[s].documents.size());
    Sums sum;
    for (std::uint32_t i = 0; i < count; ++i) sum.add(documents[random.below(count)]);
    sums[s] = sum;
  }
  return combine(sums);
}

double Estimator::acceleration() const {
  double total = 0;
  for (const Stratum& stratum : strata_) total += stratum.denominator;
  double cubes = 0, squares = 0;
  for (const Stratum& stratum : strata_) {
    const double whole = macro_ ? stratum.denominator : total;
    const double n = static_cast<double>(stratum.documents.size());
    double mean = 0;
    const auto left_out = [whole](const Residual& document) {
      return -document.residual / (whole - document.denominator);
    };
    for (const Residual& document : stratum.documents) mean += left_out(document) / n;
    for (const Residual& document : stratum.documents) {
      const double influence =
          (n - 1) / n * (mean - left_out(document)) / (macro_ ? static_cast<double>(strata_.size()) : 1);
      cubes += influence * influence * influence;
      squares += influence * influence;
    }
  }
  const double result = cubes / (6 * std::pow(squares, 1.5));
  return std::isfinite(result) ? result : 0;  // no spread, or one document holds the whole denominator
}

Interval bca(const Estimator& estimator, const std::vector<double>& shifts, double tail) {
  double below = 0;
  for (const double shift : shifts) below += shift < 0 ? 1 : shift == 0 ? 0.5 : 0;
  const double count = static_cast<double>(shifts.size());
  // Kept off 0 and 1 by half a resample, so that the correction stays finite.
  const double bias = normal_quantile(std::clamp(below / count, 0.5 / count, 1 - 0.5 / count));
  const double acceleration = estimator.acceleration();
  const auto corrected = [&](double z) {
    return normal_cdf(bias + (bias + z) / (1 - acceleration * (bias + z)));
  };
  const double z = normal_quantile(tail);
  return {estimator.value() + resampled_quantile(shifts, corrected(z)),
          estimator.value() + resampled_quantile(shifts, corrected(-z))};
}

}  // namespace

struct RatioBootstrap::Impl {
  Impl(std::span<const std::span<const RatioTerm>> strata, bool macro) : estimator(strata, macro) {}

  Estimator estimator;
  double error = 0;
  std::vector<double> scores, shifts;  // of the resamples, each sorted; empty: no interval

  // The share of resamples that a one-sided tail of `tail` leaves out, widened for small samples.
  double widened(double tail) const {
    const double n = static_cast<double>(estimator.documents()), freedom = this->freedom();
    const boost::math::students_t student(freedom);
    return normal_cdf(-std::sqrt(n / freedom) *
                      boost::math::quantile(boost::math::complement(student, tail)));
  }
  // The tail that is widened to `share`.
  double narrowed(double share) const {
    const double n = static_cast<double>(estimator.documents()), freedom = this->freedom();
    const boost::math::students_t student(freedom);
    return boost::math::cdf(student, normal_quantile(share) * std::sqrt(freedom / n));
  }
  double freedom() const {
    return static_cast<double>(estimator.documents()) - static_cast<double>(estimator.strata());
  }
  std::optional<Interval> studentized(double tail) const {
    const double share = widened(tail);
    const Interval interval{estimator.value() - resampled_quantile(scores, 1 - share) * error,
                            estimator.value() - resampled_quantile(scores, share) * error};
    if (!std::isfinite(interval.low) || !std::isfinite(interval.high)) return std::nullopt;
    return interval;
  }
  // Tail at which the interval's lower (upper) end reaches `null`.
  std::optional<double> tail(double null, bool lower) const {
    if (scores.empty()) return std::nullopt;
    const double distance = estimator.value() - null;
    if (distance == 0 && error == 0) return 1.0;
    const double score = distance / error;
    const auto beyond = lower ? scores.end() - std::lower_bound(scores.begin(), scores.end(), score)
                              : std::upper_bound(scores.begin(), scores.end(), score) - scores.begin();
    const double count = static_cast<double>(scores.size());
    const double share = (static_cast<double>(beyond) + 1) / (count + 1);
    return share >= 1 ? 1.0 : narrowed(share);
  }
};

RatioBootstrap::RatioBootstrap(std::span<const std::span<const RatioTerm>> strata, bool macro,
                               std::uint64_t seed, int resamples)
    : impl_(std::make_unique<Impl>(strata, macro)) {
  if (resamples < 1) throw std::invalid_argument(fmt::format("{} resamples are none", resamples));
  const Estimator& estimator = impl_->estimator;
  if (!estimator.enough()) return;
  impl_->error = estimator.error();
  Random random(seed);
  impl_->scores.reserve(static_cast<std::size_t>(resamples));
  impl_->shifts.reserve(static_cast<std::size_t>(resamples));
  for (int b = 0; b < resamples; ++b) {
    const Draw draw = estimator.draw(random);
    if (!std::isfinite(draw.shift)) continue;  // only documents without a denominator were drawn
    impl_->scores.push_back(draw.shift == 0 ? 0 : draw.shift / draw.error);
    impl_->shifts.push_back(draw.shift);
  }
  std::sort(impl_->scores.begin(), impl_->scores.end());
  std::sort(impl_->shifts.begin(), impl_->shifts.end());
}

RatioBootstrap::~RatioBootstrap() = default;
RatioBootstrap::RatioBootstrap(RatioBootstrap&&) noexcept = default;
RatioBootstrap& RatioBootstrap::operator=(RatioBootstrap&&) noexcept = default;

double RatioBootstrap::value() const { return impl_->estimator.value(); }
std::size_t RatioBootstrap::documents() const { return impl_->estimator.documents(); }
double RatioBootstrap::standard_error() const { return impl_->error; }
double RatioBootstrap::freedom() const { return impl_->freedom(); }

std::optional<Interval> RatioBootstrap::interval(double confidence, IntervalMethod method) const {
  if (!(confidence > 0 && confidence < 1)) {
    throw std::invalid_argument(fmt::format("the confidence {} is not between 0 and 1", confidence));
  }
  if (impl_->scores.empty()) return std::nullopt;
  const double tail = (1 - confidence) / 2;
  std::optional<Interval> result;
  if (method == IntervalMethod::studentized) result = impl_->studentized(tail);
  return result ? result : bca(impl_->estimator, impl_->shifts, tail);
}

std::optional<double> RatioBootstrap::p_at_most(double null) const { return impl_->tail(null, true); }
std::optional<double> RatioBootstrap::p_at_least(double null) const { return impl_->tail(null, false); }

std::optional<Interval> RatioBootstrap::student_interval(double confidence) const {
  if (impl_->scores.empty()) return std::nullopt;
  const boost::math::students_t student(impl_->freedom());
  const double half =
      impl_->error * boost::math::quantile(boost::math::complement(student, (1 - confidence) / 2));
  return Interval{value() - half, value() + half};
}

std::optional<double> RatioBootstrap::student_p_at_most(double null) const {
  if (impl_->scores.empty()) return std::nullopt;
  if (impl_->error == 0) return value() > null ? 0.0 : 1.0;
  const boost::math::students_t student(impl_->freedom());
  return boost::math::cdf(boost::math::complement(student, (value() - null) / impl_->error));
}

std::optional<double> RatioBootstrap::student_p_at_least(double null) const {
  if (impl_->scores.empty()) return std::nullopt;
  if (impl_->error == 0) return value() < null ? 0.0 : 1.0;
  const boost::math::students_t student(impl_->freedom());
  return boost::math::cdf(student, (value() - null) / impl_->error);
}

std::optional<double> RatioBootstrap::p_equal(double null) const {
  const std::optional<double> above = p_at_most(null), below = p_at_least(null);
  if (!above || !below) return std::nullopt;
  return std::min(1.0, 2 * std::min(*above, *below));
}

}  // namespace deciban
