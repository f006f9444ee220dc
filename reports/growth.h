// How a cost grows with the length T: which law describes it, what that law says further out, and where one
// model becomes cheaper than another.
//
// Laws are sums of terms with non-negative coefficients, fitted by least squares of relative errors:
//   constant      a                      linear        a + b T
//   logarithmic   a + c log T            linearithmic  a + b T + c T log T
//   quadratic     a + b T + c T²
// A law is chosen by its error on the longest third of the lengths after a fit to the others, the simplest
// among those that predict equally well within the noise; how sure that is, is found by repeating the choice
// on values redrawn within their noise.  Exponents of a power law say nothing here: 5 ms + 5.9 ms per 32k
// tokens is linear, and its best power law T^0.2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reports/statistics.h"

namespace deciban {

enum class GrowthLaw { constant, logarithmic, linear, linearithmic, quadratic };
inline constexpr std::array kGrowthLaws{GrowthLaw::constant, GrowthLaw::logarithmic, GrowthLaw::linear,
                                        GrowthLaw::linearithmic, GrowthLaw::quadratic};
std::string_view name(GrowthLaw law);     // "constant", "T log T", …: as people write it
std::string_view formula(GrowthLaw law);  // "a + b T + c T log T"

// A cost at one length: its value (positive) and the standard error of log(value).
struct GrowthPoint {
  double length = 0, value = 0, noise = 0;
};

struct GrowthFit {
  GrowthLaw law = GrowthLaw::constant;
  double a = 0, b = 0, c = 0;
  double at(double length) const;
};
// Throws std::invalid_argument for fewer points than the law has terms, or a length or value that is not
// positive.
GrowthFit fit_growth(std::span<const GrowthPoint> points, GrowthLaw law);

// The slope of log(cost) against log(T) over the longest lengths.
struct LocalExponent {
  double value = 0;
  Interval interval;        // 95 %
  double from = 0, to = 0;  // lengths that it was taken over
};

struct GrowthVerdict {
  // Absent: not distinguishable with these lengths and this noise, `possible` says which, or too few lengths.
  std::optional<GrowthLaw> law;
  std::vector<GrowthLaw> possible;  // chosen in more than 5 % of the redrawn sets; the likeliest first
  std::optional<GrowthFit> fit;     // to all points: of `law`, else of the likeliest
  double held_out_error = 0;        // RMS of log(predicted / measured) on the longest third
  std::optional<LocalExponent> exponent;
  std::string words() const;  // "linear", "linear or T log T: not distinguishable", "too few lengths"
};
inline constexpr std::size_t kLeastLengths = 5;
// Points with one length each, in any order.  Deterministic in `seed`.
GrowthVerdict growth_of(std::vector<GrowthPoint> points, std::uint64_t seed = 1);

// From where on one cost is below another.
struct Crossover {
  double length = 0;
  Interval interval;                 // 95 %; high may be infinite
  bool extrapolated = false;         // beyond the lengths that both were measured at, by their laws
  bool first_cheaper_after = false;  // the first is the cheaper one beyond it
};
// The last crossover of the two costs: measured where one is clearly cheaper at some length and clearly dearer
// at a longer one, else where their laws meet.  None: as far as can be told (2^24 tokens) one stays cheaper.
std::optional<Crossover> crossover(std::vector<GrowthPoint> first, std::vector<GrowthPoint> second,
                                   std::uint64_t seed = 1);

}  // namespace deciban
