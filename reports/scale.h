// Axes: values to pixels, with ticks at round numbers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace deciban {

struct Tick {
  double value = 0;
  std::string label;
};

// How an axis counts: steps of one size, or factors of one size.
enum class Spacing { linear, logarithmic };

// How ticks are written: as they are, or with a decimal prefix and unit that all ticks of the axis share.
enum class TickUnit { plain, count, bytes, bytes_per_second, seconds };

class Scale {
 public:
  // Covers the values low to high (widened to round numbers if `rounded`), drawn from pixel `from` to `to`,
  // which may run either way.  About `ticks` ticks.  `label` writes a value (for linear axes with the digits
  // that its step needs).  A range of no width is widened; a logarithmic one must be positive, else
  // std::invalid_argument.
  Scale(double low, double high, double from, double to, Spacing spacing = Spacing::linear, int ticks = 5,
        bool rounded = true, TickUnit unit = TickUnit::plain);

  double at(double value) const;  // pixels; values beyond the ends lie on them
  double low() const { return low_; }
  double high() const { return high_; }
  const std::vector<Tick>& ticks() const { return ticks_; }

 private:
  double low_, high_, from_, to_;
  bool log_;
  std::vector<Tick> ticks_;
};

// Width in pixels of a text in the page's sans-serif at `size` pixels, a little above what common fonts need.
double text_width(std::string_view text, double size);

}  // namespace deciban
