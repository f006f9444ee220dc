// Numbers as people read them: grouped digits, decimal prefixes, p-values, plain decimals.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "reports/statistics.h"

namespace deciban {

inline constexpr const char* kNoFigure = "–";

std::string grouped_digits(std::uint64_t value);  // "1 234 567", with narrow no-break spaces
std::string fixed(double value, int digits);      // "0.6012"; kNoFigure if not finite
std::string short_number(double value);     // three digits and a decimal prefix: "1.53 B", "191 M", "0.25"
std::string short_byte_size(double bytes);  // "1.53 GB"
std::string p_text(double p);               // "0.031", "< 0.001"
std::string interval_text(const std::optional<Interval>& interval, int digits);  // "0.596 … 0.607"

}  // namespace deciban
