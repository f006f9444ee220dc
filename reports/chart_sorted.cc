#include <fmt/format.h>

#include <algorithm>

#include "reports/chart.h"
#include "reports/figures.h"

namespace deciban {

using namespace chart_parts;

Node draw_sorted(Node parent, const SortedChart& chart, double width) {
  const bool narrow = width < 500;
  std::vector<double> values = chart.values;
  std::sort(values.begin(), values.end());
  const double left = 56, right = width - 8, top = 34, bottom = narrow ? 220 : 260;
  Node svg = root(parent, width, bottom + 42, chart.text);
  const Scale y(std::min(0.0, values.front()), std::max(0.0, values.back()), bottom, top, chart.y.spacing, 5,
                true, chart.y.unit);
  y_axis(svg, y, left, right, chart.y.title, top);
  // More documents than pixels: each column shows the one in its middle.
  const std::size_t columns = std::min<std::size_t>(values.size(), static_cast<std::size_t>(right - left));
  const double step = (right - left) / static_cast<double>(columns), zero = y.at(0);
  const auto shape = [&](bool below) {
    std::string path;
    for (std::size_t i = 0; i < columns; ++i) {
      const double value = values[(2 * i + 1) * values.size() / (2 * columns)];
      if (value == 0 || (value < 0) != below) continue;
      const double x = left + step * static_cast<double>(i);
      if (path.empty()) path = fmt::format("M{} {}", pixels(x), pixels(zero));
      path += fmt::format("V{}H{}", pixels(y.at(value)), pixels(x + step));
    }
    if (path.empty()) return;
    path += fmt::format("V{}Z", pixels(zero));
    put(add(svg, "path", below ? "area c0" : "area c1"), "d", path);
  };
  shape(true);
  shape(false);
  line(svg, left, zero, right, zero, "zero");
  const auto less =
      static_cast<std::size_t>(std::lower_bound(values.begin(), values.end(), 0.0) - values.begin());
  const auto more =
      static_cast<std::size_t>(values.end() - std::upper_bound(values.begin(), values.end(), 0.0));
  const double half = (right - left) / 2 - 8;
  if (less > 0)
    label(svg, left + 6, bottom + 18, fit(fmt::format("{}: {}", chart.below, grouped_digits(less)), half),
          "name c0", "start");
  if (more > 0)
    label(svg, right, bottom + 18, fit(fmt::format("{}: {}", chart.above, grouped_digits(more)), half),
          "name c1", "end");
  return svg;
}

}  // namespace deciban
