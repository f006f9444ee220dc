#include "reports/speed_verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "reports/order_statistics.h"
#include "reports/paired.h"
#include "reports/rank_tests.h"

namespace deciban {
namespace {

constexpr double kConfidence = 0.95;  // of the interval that is shown and that decides "same"

std::vector<double> logarithms(const std::string& name, const std::vector<double>& values) {
  std::vector<double> logs;
  logs.reserve(values.size());
  for (const double value : values) {
    if (!std::isfinite(value) || value <= 0)
      throw std::invalid_argument(
          fmt::format("case '{}' has a timing of {}: it must be finite and above 0", name, value));
    logs.push_back(std::log(value));
  }
  return logs;
}

double median(std::vector<double> values) { return values.empty() ? 0 : quantile_of(std::move(values), 0.5); }

std::vector<double> negated(std::vector<double> values) {
  for (double& value : values) value = -value;
  return values;
}

// One case before the adjustment over all.
SpeedResult compare(const SpeedSamples& c, const SpeedRule& rule) {
  SpeedResult result;
  result.name = c.name;
  result.effect = rule.effect + c.extra_effect;
  result.samples = std::min(c.before.size(), c.after.size());
  const std::vector<double> before = logarithms(c.name, c.before), after = logarithms(c.name, c.after);
  if (c.paired && before.size() != after.size())
    throw std::invalid_argument(
        fmt::format("case '{}' has {} timings of the old and {} of the new: rounds pair them", c.name,
                    before.size(), after.size()));
  if (result.samples == 0) return result;
  result.before = median(c.before);
  result.after = median(c.after);
  const double margin = std::log1p(result.effect);
  ShiftEstimate shift;
  if (c.paired) {
    std::vector<double> differences(before.size());
    std::transform(after.begin(), after.end(), before.begin(), differences.begin(), std::minus<>());
    shift = signed_rank_shift(differences, kConfidence);
    result.p_slower = signed_rank_above(differences, margin);
    result.p_faster = signed_rank_above(negated(differences), margin);
  } else {
    shift = mann_whitney_shift(before, after, kConfidence);
    result.p_slower = mann_whitney_above(before, after, margin);
    result.p_faster = mann_whitney_above(after, before, margin);
  }
  result.ratio = std::exp(shift.value);
  if (shift.interval)
    result.interval = Interval{std::exp(shift.interval->low), std::exp(shift.interval->high)};
  return result;
}

}  // namespace

std::string_view name(SpeedVerdict verdict) {
  switch (verdict) {
    case SpeedVerdict::same:
      return "same";
    case SpeedVerdict::slower:
      return "slower";
    case SpeedVerdict::faster:
      return "faster";
    case SpeedVerdict::unclear:
      break;
  }
  return "unclear";
}

std::size_t least_samples(std::size_t cases, bool paired, double alpha) {
  const double wanted = alpha / static_cast<double>(std::max<std::size_t>(1, cases));
  double p = 1;
  for (std::size_t n = 1;; ++n) {
    const double count = static_cast<double>(n);
    p *= paired ? 0.5 : count / (2 * (2 * count - 1));  // 2^-n, or one of all (2n choose n) arrangements
    if (p <= wanted) return n;
  }
}

std::vector<SpeedResult> judge_speed(std::span<const SpeedSamples> cases, const SpeedRule& rule) {
  if (!(rule.effect >= 0) || !(rule.alpha > 0 && rule.alpha < 1))
    throw std::invalid_argument(fmt::format("a least effect of {} and a false-alarm rate of {} make no sense",
                                            rule.effect, rule.alpha));
  std::vector<SpeedResult> results;
  std::vector<double> slower, faster;
  for (const SpeedSamples& c : cases) {
    results.push_back(compare(c, rule));
    slower.push_back(results.back().p_slower);
    faster.push_back(results.back().p_faster);
  }
  slower = holm(slower);
  faster = holm(faster);
  for (std::size_t i = 0; i < results.size(); ++i) {
    SpeedResult& r = results[i];
    r.p_slower = slower[i];
    r.p_faster = faster[i];
    const double bound = 1 + r.effect;
    if (r.p_slower <= rule.alpha) {
      r.verdict = SpeedVerdict::slower;
    } else if (r.p_faster <= rule.alpha) {
      r.verdict = SpeedVerdict::faster;
    } else if (r.interval && r.interval->low > 1 / bound && r.interval->high < bound) {
      r.verdict = SpeedVerdict::same;
    } else if (const std::size_t least = least_samples(results.size(), cases[i].paired, rule.alpha);
               r.samples < least) {
      r.reason = fmt::format("{} of the {} samples that a verdict needs", r.samples, least);
    } else {
      r.reason = "too noisy to tell";
    }
  }
  return results;
}

}  // namespace deciban
