#include "reports/growth.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <stdexcept>

#include "reports/order_statistics.h"
#include "reports/random.h"

namespace deciban {
namespace {

constexpr int kRedraws = 400;
constexpr double kLeastNoise = 1e-4;   // relative; what is counted has none
constexpr double kFarthest = 1 << 24;  // tokens that laws are extrapolated to
constexpr double kSure = 0.95;

// Terms beyond the constant: T where the law has it, and its own.
double own_term(GrowthLaw law, double t) {
  switch (law) {
    case GrowthLaw::logarithmic:
      return std::log(t);
    case GrowthLaw::linearithmic:
      return t * std::log(t);
    case GrowthLaw::quadratic:
      return t * t;
    case GrowthLaw::constant:
    case GrowthLaw::linear:
      break;
  }
  return 0;
}
bool has_linear(GrowthLaw law) { return law >= GrowthLaw::linear; }
bool has_own(GrowthLaw law) { return own_term(law, 2) != 0; }

// Solves the symmetric n x n system by elimination with pivots; false if it is singular.
bool solve(std::array<std::array<double, 3>, 3> m, std::array<double, 3> y, std::size_t n,
           std::array<double, 3>& x) {
  for (std::size_t i = 0; i < n; ++i) {
    std::size_t pivot = i;
    for (std::size_t r = i + 1; r < n; ++r) {
      if (std::abs(m[r][i]) > std::abs(m[pivot][i])) pivot = r;
    }
    if (std::abs(m[pivot][i]) < 1e-14) return false;
    std::swap(m[i], m[pivot]);
    std::swap(y[i], y[pivot]);
    for (std::size_t r = i + 1; r < n; ++r) {
      const double factor = m[r][i] / m[i][i];
      for (std::size_t c = i; c < n; ++c) m[r][c] -= factor * m[i][c];
      y[r] -= factor * y[i];
    }
  }
  for (std::size_t i = n; i-- > 0;) {
    double sum = y[i];
    for (std::size_t c = i + 1; c < n; ++c) sum -= m[i][c] * x[c];
    x[i] = sum / m[i][i];
  }
  return true;
}

double normal(Random& random) {
  const double radius = std::sqrt(-2 * std::log(1 - random.unit()));
  return radius * std::cos(2 * std::numbers::pi * random.unit());
}

void sort_by_length(std::vector<GrowthPoint>& points) {
  std::sort(points.begin(), points.end(),
            [](const GrowthPoint& a, const GrowthPoint& b) { return a.length < b.length; });
}

double log_error(const GrowthFit& fit, std::span<const GrowthPoint> points) {
  double squares = 0;
  for (const GrowthPoint& p : points) {
    const double error = std::log(std::max(fit.at(p.length), 1e-300) / p.value);
    squares += error * error;
  }
  return std::sqrt(squares / static_cast<double>(points.size()));
}

std::vector<GrowthPoint> redrawn(std::span<const GrowthPoint> points, Random& random) {
  std::vector<GrowthPoint> drawn(points.begin(), points.end());
  for (GrowthPoint& p : drawn) p.value *= std::exp(p.noise * normal(random));
  return drawn;
}

struct Choice {
  GrowthLaw law;
  double error;
};

// The simplest law whose error on the held-out points is as small as the best one's within the noise.
Choice choose(std::span<const GrowthPoint> points, double noise) {
  const std::size_t held_out = points.size() / 3;
  const auto known = points.first(points.size() - held_out), rest = points.last(held_out);
  std::array<double, kGrowthLaws.size()> errors{};
  for (std::size_t i = 0; i < kGrowthLaws.size(); ++i)
    errors[i] = log_error(fit_growth(known, kGrowthLaws[i]), rest);
  const double best = *std::min_element(errors.begin(), errors.end());
  for (std::size_t i = 0; i < kGrowthLaws.size(); ++i) {
    if (errors[i] <= 1.25 * best + 2 * noise) return {kGrowthLaws[i], errors[i]};
  }
  return {kGrowthLaws.back(), errors.back()};
}

// The noise of each point, and what the most flexible of the laws that fit leaves unexplained: lengths differ
// by more than repeats of one of them do (caches, page sizes).
void add_scatter(std::vector<GrowthPoint>& points) {
  double scatter = std::numeric_limits<double>::infinity();
  for (const GrowthLaw law : kGrowthLaws) {
    const double terms = 1 + has_linear(law) + has_own(law);
    const double freedom = std::max(1.0, static_cast<double>(points.size()) - terms);
    const double error =
        log_error(fit_growth(points, law), points) * std::sqrt(static_cast<double>(points.size()) / freedom);
    scatter = std::min(scatter, error);
  }
  for (GrowthPoint& p : points)
    p.noise = std::max(kLeastNoise, std::sqrt(p.noise * p.noise + scatter * scatter));
}

double slope(std::span<const GrowthPoint> points) {
  double x = 0, y = 0, xx = 0, xy = 0;
  const auto n = static_cast<double>(points.size());
  for (const GrowthPoint& p : points) {
    x += std::log(p.length) / n;
    y += std::log(p.value) / n;
  }
  for (const GrowthPoint& p : points) {
    const double dx = std::log(p.length) - x;
    xx += dx * dx;
    xy += dx * (std::log(p.value) - y);
  }
  return xy / xx;
}

LocalExponent local_exponent(std::span<const GrowthPoint> points, Random& random) {
  std::size_t first = points.size() - 2;
  while (first > 0 && points[first - 1].length * 4 >= points.back().length) --first;
  const auto last = points.subspan(first);
  LocalExponent exponent{slope(last), {}, last.front().length, last.back().length};
  std::vector<double> slopes;
  for (int i = 0; i < kRedraws; ++i) slopes.push_back(slope(redrawn(last, random)));
  exponent.interval = {quantile_of(slopes, 0.025), quantile_of(slopes, 0.975)};
  return exponent;
}

// Where log(first / second) last changes its sign between two lengths, or NaN.
double last_crossing(std::span<const GrowthPoint> first, std::span<const GrowthPoint> second) {
  double at = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t i = 1; i < first.size(); ++i) {
    const double before = std::log(first[i - 1].value / second[i - 1].value),
                 after = std::log(first[i].value / second[i].value);
    if ((before < 0) == (after < 0)) continue;
    const double share = before / (before - after);
    at = first[i - 1].length * std::pow(first[i].length / first[i - 1].length, share);
  }
  return at;
}

// -1, 0 or 1: whether the first is clearly below the second, neither, or clearly above.
int clearly(const GrowthPoint& first, const GrowthPoint& second) {
  const double ratio = std::log(first.value / second.value);
  const double noise = std::sqrt(first.noise * first.noise + second.noise * second.noise);
  return std::abs(ratio) <= 2 * noise ? 0 : ratio < 0 ? -1 : 1;
}

// Whether one is clearly cheaper at some length and clearly dearer at a longer one.
bool turns(std::span<const GrowthPoint> first, std::span<const GrowthPoint> second) {
  int before = 0;
  for (std::size_t i = 0; i < first.size(); ++i) {
    const int now = clearly(first[i], second[i]);
    if (now != 0 && before != 0 && now != before) return true;
    if (now != 0) before = now;
  }
  return false;
}

double crossing_of_laws(const GrowthFit& first, const GrowthFit& second, double from) {
  const bool below = first.at(from) < second.at(from);
  if ((first.at(kFarthest) < second.at(kFarthest)) == below) return std::numeric_limits<double>::quiet_NaN();
  double low = from, high = kFarthest;
  while (high / low > 1 + 1e-9) {
    const double middle = std::sqrt(low * high);
    ((first.at(middle) < second.at(middle)) == below ? low : high) = middle;
  }
  return low;
}

}  // namespace

std::string_view name(GrowthLaw law) {
  constexpr std::array<std::string_view, 5> kNames{"constant", "log T", "linear", "T log T", "T²"};
  return kNames[static_cast<std::size_t>(law)];
}

std::string_view formula(GrowthLaw law) {
  constexpr std::array<std::string_view, 5> kFormulas{"a", "a + c log T", "a + b T", "a + b T + c T log T",
                                                      "a + b T + c T²"};
  return kFormulas[static_cast<std::size_t>(law)];
}

double GrowthFit::at(double length) const { return a + b * length + c * own_term(law, length); }

GrowthFit fit_growth(std::span<const GrowthPoint> points, GrowthLaw law) {
  std::vector<int> terms{0};
  if (has_linear(law)) terms.push_back(1);
  if (has_own(law)) terms.push_back(2);
  if (points.size() < terms.size()) {
    throw std::invalid_argument(
        fmt::format("{} points are too few for the law {}", points.size(), formula(law)));
  }
  double longest = 0, least = std::numeric_limits<double>::infinity();
  for (const GrowthPoint& p : points) {
    if (!(p.length > 0) || !(p.value > 0) || !std::isfinite(p.value)) {
      throw std::invalid_argument(
          fmt::format("a cost of {} at length {}: both must be positive", p.value, p.length));
    }
    longest = std::max(longest, p.length);
    least = std::min(least, p.value);
  }
  // Terms are scaled to order one at the longest length, values at the least one.  Every subset of terms is
  // solved without bounds: the best one with no negative coefficient is the non-negative solution.
  const std::array<double, 3> scale{1, longest, has_own(law) ? own_term(law, longest) : 1};
  GrowthFit best{law};
  double best_error = std::numeric_limits<double>::infinity();
  for (unsigned subset = 1; subset < 1u << terms.size(); ++subset) {
    std::vector<int> used;
    for (std::size_t i = 0; i < terms.size(); ++i) {
      if (subset >> i & 1) used.push_back(terms[i]);
    }
    std::array<std::array<double, 3>, 3> m{};
    std::array<double, 3> y{}, x{};
    const auto term = [&](int which, double t) {
      return (which == 0 ? 1.0 : which == 1 ? t : own_term(law, t)) / scale[static_cast<std::size_t>(which)];
    };
    for (const GrowthPoint& p : points) {
      for (std::size_t i = 0; i < used.size(); ++i) {
        // Errors are relative to the value.
        const double weighted = term(used[i], p.length) * least / p.value;
        y[i] += weighted;
        for (std::size_t j = 0; j < used.size(); ++j)
          m[i][j] += weighted * term(used[j], p.length) * least / p.value;
      }
    }
    if (!solve(m, y, used.size(), x)) continue;
    if (std::any_of(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(used.size()),
                    [](double v) { return v < 0; })) {
      continue;
    }
    GrowthFit fit{law};
    for (std::size_t i = 0; i < used.size(); ++i) {
      (used[i] == 0   ? fit.a
       : used[i] == 1 ? fit.b
                      : fit.c) = x[i] * least / scale[static_cast<std::size_t>(used[i])];
    }
    double error = 0;
    for (const GrowthPoint& p : points) {
      const double relative = fit.at(p.length) / p.value - 1;
      error += relative * relative;
    }
    if (error < best_error) {
      best_error = error;
      best = fit;
    }
  }
  return best;
}

std::string GrowthVerdict::words() const {
  if (law) return std::string(name(*law));
  if (possible.empty()) return "too few lengths";
  if (possible.size() == 1) return std::string(name(possible.front())) + ", not for certain";
  std::string words;
  for (std::size_t i = 0; i < possible.size(); ++i)
    words += fmt::format("{}{}", i == 0 ? "" : i + 1 == possible.size() ? " or " : ", ", name(possible[i]));
  return words + ": not distinguishable";
}

GrowthVerdict growth_of(std::vector<GrowthPoint> points, std::uint64_t seed) {
  sort_by_length(points);
  GrowthVerdict verdict;
  Random random(seed);
  if (points.size() < 2) return verdict;
  if (points.size() >= kLeastLengths) {
    add_scatter(points);
    double noise = 0;
    for (const GrowthPoint& p : points) noise += p.noise * p.noise / static_cast<double>(points.size());
    noise = std::sqrt(noise);
    std::array<int, kGrowthLaws.size()> votes{};
    for (int i = 0; i < kRedraws; ++i)
      ++votes[static_cast<std::size_t>(choose(redrawn(points, random), noise).law)];
    std::array<std::size_t, kGrowthLaws.size()> order{};
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return votes[a] > votes[b]; });
    for (const std::size_t i : order) {
      if (votes[i] > kRedraws * (1 - kSure)) verdict.possible.push_back(kGrowthLaws[i]);
    }
    const GrowthLaw likeliest = kGrowthLaws[order[0]];
    if (votes[order[0]] >= kRedraws * kSure) verdict.law = likeliest;
    verdict.fit = fit_growth(points, likeliest);
    const std::size_t held_out = points.size() / 3;
    const std::span<const GrowthPoint> all(points);
    verdict.held_out_error =
        log_error(fit_growth(all.first(points.size() - held_out), likeliest), all.last(held_out));
  }
  verdict.exponent = local_exponent(points, random);
  return verdict;
}

std::optional<Crossover> crossover(std::vector<GrowthPoint> first, std::vector<GrowthPoint> second,
                                   std::uint64_t seed) {
  sort_by_length(first);
  sort_by_length(second);
  // Only lengths that both were measured at can be compared.
  const auto keep_common = [](std::vector<GrowthPoint>& points, const std::vector<GrowthPoint>& others) {
    std::erase_if(points, [&](const GrowthPoint& p) {
      return std::none_of(others.begin(), others.end(),
                          [&](const GrowthPoint& o) { return o.length == p.length; });
    });
  };
  std::vector<GrowthPoint> first_common = first, second_common = second;
  keep_common(first_common, second);
  keep_common(second_common, first);
  if (first_common.size() < 2) return std::nullopt;

  if (first_common.size() >= kLeastLengths) {  // else there is nothing to tell scatter from growth by
    add_scatter(first_common);
    add_scatter(second_common);
  }
  Crossover result;
  result.extrapolated = !turns(first_common, second_common);
  if (!result.extrapolated) result.length = last_crossing(first_common, second_common);
  const auto cheaper_at_end = first_common.back().value < second_common.back().value;
  result.first_cheaper_after = cheaper_at_end != result.extrapolated;
  Random random(seed);
  std::vector<double> draws;
  if (!result.extrapolated) {
    for (int i = 0; i < kRedraws; ++i) {
      const double at = last_crossing(redrawn(first_common, random), redrawn(second_common, random));
      if (!std::isnan(at)) draws.push_back(at);
    }
  } else {
    const GrowthVerdict one = growth_of(first, seed), other = growth_of(second, seed);
    if (!one.fit || !other.fit) return std::nullopt;
    const double from = first_common.back().length;
    result.length = crossing_of_laws(*one.fit, *other.fit, from);
    if (std::isnan(result.length)) return std::nullopt;
    add_scatter(first);
    add_scatter(second);
    for (int i = 0; i < kRedraws; ++i) {
      const double at = crossing_of_laws(fit_growth(redrawn(first, random), one.fit->law),
                                         fit_growth(redrawn(second, random), other.fit->law), from);
      draws.push_back(std::isnan(at) ? std::numeric_limits<double>::infinity() : at);
    }
  }
  if (draws.empty()) draws.push_back(result.length);
  result.interval = {quantile_of(draws, 0.025), quantile_of(draws, 0.975)};
  return result;
}

}  // namespace deciban
