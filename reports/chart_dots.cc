#include <fmt/format.h>

#include <algorithm>

#include "reports/chart.h"
#include "reports/figures.h"

namespace deciban {

using namespace chart_parts;

Node draw_dots(Node parent, const DotsChart& chart, double width) {
  const bool narrow = width < 500;
  double low = 1e300, high = -1e300, names = 0, notes = 0;
  for (const DotsChart::Row& row : chart.rows) {
    low = std::min({low, row.value, row.interval ? row.interval->low : row.value});
    high = std::max({high, row.value, row.interval ? row.interval->high : row.value});
    names = std::max(names, text_width(fit(row.name, 230), kText));
    notes = std::max(notes, text_width(row.note, kText));
  }
  // On a phone names stand above their rows.
  const double left = narrow ? 4 : names + 14, right = width - (notes > 0 ? notes + 14 : 8);
  const double row_height = narrow ? kRow + 14 : kRow, top = 8;
  const double bottom = top + row_height * static_cast<double>(chart.rows.size()) + 4;
  Node svg = root(parent, width, bottom + 42, chart.text);
  const Scale x(low, high, left, right, chart.x.spacing, narrow ? 4 : 7, true, chart.x.unit);
  x_axis(svg, x, top, bottom, chart.x.title, 0, right);
  double y = top;
  for (const DotsChart::Row& row : chart.rows) {
    const double middle = y + (narrow ? row_height - 10 : row_height / 2);
    Node group = add(svg, "g", row.reference ? "reference" : row.accent ? "accent" : "plain");
    tooltip(group, fmt::format("{}: {}{}", row.name, fixed(row.value, 4),
                               row.interval ? " (" + interval_text(row.interval, 4) + ")" : ""));
    if (narrow) {
      label(group, 4, y + 14, fit(row.name, right - 8), "name", "start");
    } else {
      label(group, left - 14, middle + 4, fit(row.name, 230), "name", "end");
    }
    if (row.interval)
      line(group, x.at(row.interval->low), middle, x.at(row.interval->high), middle, "interval");
    Node dot = add(group, "circle", "dot");
    put(dot, "cx", x.at(row.value));
    put(dot, "cy", middle);
    put(dot, "r", 4.5);
    if (!row.note.empty()) label(svg, width - 2, middle + 4, row.note, "tick", "end");
    y += row_height;
  }
  return svg;
}

}  // namespace deciban
