#include "reports/figures.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace deciban {
namespace {

// Three significant digits.
std::string three_digits(double value) {
  const double size = std::abs(value);
  const int digits = size >= 99.95 || size == 0 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3;
  if (size > 0 && size < 0.001) return fmt::format("{:.2g}", value);
  return fmt::format("{:.{}f}", value, digits);
}

}  // namespace

std::string grouped_digits(std::uint64_t value) {
  std::string digits = std::to_string(value);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, "\u202f");
  return digits;
}

std::string fixed(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : kNoFigure;
}

std::string short_number(double value) {
  if (!std::isfinite(value)) return kNoFigure;
  constexpr const char* kPrefixes[] = {"", " k", " M", " B", " T", " P", " E"};
  std::size_t prefix = 0;
  while (std::abs(value) >= 999.5 && prefix + 1 < std::size(kPrefixes)) value /= 1000, ++prefix;
  return three_digits(value) + kPrefixes[prefix];
}

std::string short_byte_size(double bytes) {
  if (!std::isfinite(bytes)) return kNoFigure;
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < std::size(kUnits)) bytes /= 1000, ++unit;
  return three_digits(bytes) + " " + kUnits[unit];
}

std::string p_text(double p) { return p < 0.001 ? "< 0.001" : fmt::format("{:.3f}", p); }

std::string interval_text(const std::optional<Interval>& interval, int digits) {
  if (!interval) return kNoFigure;
  return fmt::format("{:.{}f} … {:.{}f}", interval->low, digits, interval->high, digits);
}

}  // namespace deciban
