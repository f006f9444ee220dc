#include "reports/paired.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "reports/bootstrap.h"

namespace deciban {
namespace {

constexpr double kDecibansPerBit = 3.0102999566398120;  // 10 log10 2

// `probability` of Student's t lies below it.
double student_quantile(double freedom, double probability) {
  return boost::math::quantile(boost::math::students_t(freedom), probability);
}

void check(const PairedOptions& options) {
  if (!(options.same_within >= 0 && options.same_within < 1)) {
    throw std::invalid_argument(fmt::format(
        "the margin {} is not a share from 0 to below 1 of the base's bits", options.same_within));
  }
  if (!(options.level > 0 && options.level < 0.5) || !(options.power > 0.5 && options.power < 1)) {
    throw std::invalid_argument(
        fmt::format("a level of {} with a power of {}: wanted are 0 < level < 0.5 < power < 1", options.level,
                    options.power));
  }
}

// Documents with which `spread` (the standard error times √n) becomes small enough that `sum of quantiles`
// standard errors make up the margin.
std::uint64_t documents_needed(double spread, double margin, double level_tail, double power_tail) {
  // Student's quantiles depend on the answer; a few rounds from the normal ones settle it.
  double needed = 30;
  for (int round = 0; round < 20; ++round) {
    const double freedom = std::max(needed - 1, 2.0);
    const double quantiles =
        student_quantile(freedom, 1 - level_tail) + student_quantile(freedom, power_tail);
    needed = std::pow(quantiles * spread / margin, 2);
  }
  const double most = 1e15;  // beyond, "never" would be as true
  return static_cast<std::uint64_t>(
      std::clamp(std::ceil(needed), static_cast<double>(kMinDocumentsForInterval), most));
}

// The bootstrap-t answers for skewed differences and errs on symmetric ones with heavy tails, Student's t the
// other way round (docs/statistics.md has both): what both say is taken.
std::optional<Interval> hull(const RatioBootstrap& ratio, double confidence) {
  const auto bootstrap = ratio.interval(confidence), student = ratio.student_interval(confidence);
  if (!bootstrap || !student) return std::nullopt;
  return Interval{std::min(bootstrap->low, student->low), std::max(bootstrap->high, student->high)};
}

double p_at_most(const RatioBootstrap& ratio, double null) {
  return std::max(*ratio.p_at_most(null), *ratio.student_p_at_most(null));
}

double p_at_least(const RatioBootstrap& ratio, double null) {
  return std::max(*ratio.p_at_least(null), *ratio.student_p_at_least(null));
}

void decide(PairedResult& result, const PairedOptions& options) {
  result.differs = result.p_adjusted && *result.p_adjusted < options.level;
  result.verdict = Verdict::unclear;
  if (result.p_same_adjusted && *result.p_same_adjusted < options.level) {
    result.verdict = Verdict::same;
  } else if (result.differs) {
    result.verdict =
        (result.difference.value < 0) == options.lower_is_better ? Verdict::better : Verdict::worse;
  }
}

}  // namespace

std::string_view verdict_word(Verdict verdict) {
  switch (verdict) {
    case Verdict::better:
      return "better";
    case Verdict::worse:
      return "worse";
    case Verdict::same:
      return "same";
    case Verdict::unclear:
      break;
  }
  return "unclear";
}

PairedResult compare_pairs(std::span<const std::vector<PairedTerm>> corpora, const PairedOptions& options) {
  check(options);
  std::vector<std::vector<RatioTerm>> differences, shares;
  CompensatedSum base, other, weight;
  for (const std::vector<PairedTerm>& terms : corpora) {
    if (terms.empty()) continue;
    auto& difference = differences.emplace_back();
    auto& share = shares.emplace_back();
    difference.reserve(terms.size());
    share.reserve(terms.size());
    for (const PairedTerm& term : terms) {
      const double more = term.other - term.base;
      difference.push_back({more, term.weight});
      share.push_back({more, term.base});
      base.add(term.base);
      other.add(term.other);
      weight.add(term.weight);
    }
  }
  const std::vector<std::span<const RatioTerm>> strata(differences.begin(), differences.end()),
      relative_strata(shares.begin(), shares.end());
  const RatioBootstrap absolute(strata, false, options.seed, options.resamples),
      relative(relative_strata, false, options.seed, options.resamples);

  PairedResult result;
  result.documents = absolute.documents();
  result.base = base.value() / weight.value();
  result.other = other.value() / weight.value();
  result.difference = {absolute.value(), hull(absolute, 0.95), absolute.documents()};
  result.relative = {relative.value(), hull(relative, 0.95), relative.documents()};
  // Fewer bits are a larger probability: evidence for the other model is positive.
  result.decibans_per_kb = -result.difference.value * kDecibansPerBit * 1000;
  if (absolute.p_equal(0))
    result.p = std::min(1.0, 2 * std::min(p_at_most(absolute, 0), p_at_least(absolute, 0)));
  if (result.p && options.same_within > 0) {
    result.p_same =
        std::max(p_at_least(relative, options.same_within), p_at_most(relative, -options.same_within));
  }
  if (result.p) {
    const double freedom = relative.freedom(), error = relative.standard_error();
    result.detectable =
        error * (student_quantile(freedom, 1 - options.level / 2) + student_quantile(freedom, options.power));
    if (options.same_within > 0) {
      const double spread = error * std::sqrt(static_cast<double>(result.documents));
      result.documents_for_margin =
          documents_needed(spread, options.same_within, options.level / 2, options.power);
      // Both one-sided tests must succeed: each may miss half of what is allowed.
      result.documents_for_same =
          documents_needed(spread, options.same_within, options.level, (1 + options.power) / 2);
    }
  }
  result.p_adjusted = result.p;
  result.p_same_adjusted = result.p_same;
  decide(result, options);
  return result;
}

std::vector<double> holm(std::span<const double> p_values) {
  std::vector<std::size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return p_values[a] < p_values[b]; });
  std::vector<double> adjusted(p_values.size());
  double largest = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const double left = static_cast<double>(order.size() - i);
    largest = std::max(largest, std::min(1.0, left * p_values[order[i]]));
    adjusted[order[i]] = largest;
  }
  return adjusted;
}

void correct_family(std::span<PairedResult> family, const PairedOptions& options) {
  check(options);
  using P = std::optional<double> PairedResult::*;
  for (const auto& [from, to] : {std::pair<P, P>{&PairedResult::p, &PairedResult::p_adjusted},
                                 std::pair<P, P>{&PairedResult::p_same, &PairedResult::p_same_adjusted}}) {
    std::vector<double> p_values;
    for (const PairedResult& result : family) {
      if (result.*from) p_values.push_back(*(result.*from));
    }
    const std::vector<double> adjusted = holm(p_values);
    std::size_t next = 0;
    for (PairedResult& result : family) {
      if (result.*from) result.*to = adjusted[next++];
    }
  }
  for (PairedResult& result : family) decide(result, options);
}

}  // namespace deciban
