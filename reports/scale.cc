#include "reports/scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string_view>

#include "reports/display_text.h"

namespace deciban {
namespace {

// The round step (1, 2, 2.5 or 5 times a power of ten) nearest above `least`.
double round_step(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

// Decimals that tell multiples of a step apart.
int decimals(double step) {
  int digits = 0;
  while (digits < 12 && std::abs(step - std::round(step)) > 1e-6 * std::abs(step)) step *= 10, ++digits;
  return digits;
}

struct Prefix {
  double factor = 1;
  std::string suffix;
};

// The decimal prefix in which a value of this size is written.
Prefix prefix_of(double size, TickUnit unit) {
  if (unit == TickUnit::plain || !(size > 0)) return {};
  if (unit == TickUnit::seconds) {
    for (const auto& [factor, name] : {std::pair{1.0, " s"}, {1e-3, " ms"}, {1e-6, " µs"}}) {
      if (size >= factor) return {factor, name};
    }
    return {1e-9, " ns"};
  }
  const bool bytes = unit != TickUnit::count;
  constexpr const char* kCounts[] = {"", " k", " M", " B", " T", " P"};
  constexpr const char* kBytes[] = {" B", " kB", " MB", " GB", " TB", " PB"};
  std::size_t power = 0;
  for (double left = size; left >= 999.5 && power + 1 < std::size(kBytes); left /= 1000) ++power;
  std::string suffix = bytes ? kBytes[power] : kCounts[power];
  if (unit == TickUnit::bytes_per_second) suffix += "/s";
  return {std::pow(1000.0, static_cast<double>(power)), suffix};
}

// Without a fraction of zeros.
std::string shortest(double value) { return fmt::format("{:.6g}", value); }

}  // namespace

Scale::Scale(double low, double high, double from, double to, Spacing spacing, int ticks, bool rounded,
             TickUnit unit)
    : low_(low), high_(high), from_(from), to_(to), log_(spacing == Spacing::logarithmic) {
  if (!std::isfinite(low) || !std::isfinite(high) || low > high)
    throw std::invalid_argument(fmt::format("an axis from {} to {} cannot be drawn", low, high));
  if (log_ && !(low > 0))
    throw std::invalid_argument(fmt::format("a logarithmic axis cannot begin at {}", low));
  if (log_) {
    if (high_ / low_ < 1.5) low_ /= 1.5, high_ *= 1.5;
    const double factor = std::pow(high_ / low_, 0.06);
    if (rounded) low_ /= factor, high_ *= factor;
    const double decades = std::log10(high_ / low_);
    const auto marks = decades > ticks - 0.5   ? std::vector<double>{1}
                       : decades > ticks / 2.5 ? std::vector<double>{1, 3}
                                               : std::vector<double>{1, 2, 5};
    const double stride = std::max(1.0, std::ceil(decades / (ticks + 1)));
    for (double power = std::floor(std::log10(low_)); power <= std::log10(high_); power += stride) {
      for (const double mark : marks) {
        const double value = mark * std::pow(10.0, power);
        if (value >= low_ * (1 - 1e-9) && value <= high_ * (1 + 1e-9)) {
          const Prefix prefix = prefix_of(value, unit);
          ticks_.push_back({value, shortest(value / prefix.factor) + prefix.suffix});
        }
      }
    }
    return;
  }
  if (high_ - low_ <= 1e-12 * std::max(std::abs(low_), std::abs(high_)) || high_ == low_) {
    const double room = low_ == 0 ? 1 : 0.01 * std::abs(low_);
    low_ -= room, high_ += room;
  }
  const double step = round_step((high_ - low_) / std::max(1, ticks));
  if (rounded) {
    low_ = std::floor(low_ / step + 1e-9) * step;
    high_ = std::ceil(high_ / step - 1e-9) * step;
  }
  const Prefix prefix = prefix_of(std::max(std::abs(low_), std::abs(high_)), unit);
  const int digits = decimals(step / prefix.factor);
  const double first = std::ceil(low_ / step - 1e-9);
  for (double i = first; i * step <= high_ + 1e-9 * step && ticks_.size() < 50; ++i) {
    const double value = i == 0 ? 0 : i * step;
    std::string text = fmt::format("{:.{}f}{}", std::abs(value) / prefix.factor, digits,
                                   value == 0 && unit != TickUnit::plain ? "" : prefix.suffix);
    ticks_.push_back({value, value < 0 ? "−" + text : text});
  }
}

double Scale::at(double value) const {
  const double clamped = std::clamp(value, low_, high_);
  const double share =
      log_ ? std::log(clamped / low_) / std::log(high_ / low_) : (clamped - low_) / (high_ - low_);
  return from_ + share * (to_ - from_);
}

double text_width(std::string_view text, double size) {
  double width = 0;
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text[0]);
    const std::size_t length = byte < 0x80 ? 1 : byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
    const std::string_view character = text.substr(0, std::min(length, text.size()));
    text.remove_prefix(character.size());
    if (character == "−" || character == "±" || character == "→" || character == "…") {
      width += 0.9;  // as wide as the plus, or wider
    } else if (byte >= 0x80) {
      width += 0.62 * std::max<std::size_t>(display_width(character), 1);
    } else if (std::string_view("iljtfI.,;:'|!()[] ").find(character[0]) != std::string_view::npos) {
      width += 0.36;
    } else if (std::string_view("mwMW@%").find(character[0]) != std::string_view::npos) {
      width += 0.95;
    } else {
      width += character[0] >= 'A' && character[0] <= 'Z' ? 0.74 : 0.62;
    }
  }
  return width * size;
}

}  // namespace deciban
