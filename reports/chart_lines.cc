#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reports/chart.h"
#include "reports/figures.h"

namespace deciban {

using namespace chart_parts;

namespace {

std::string polyline(const std::vector<std::pair<double, double>>& places) {
  std::string path;
  for (const auto& [x, y] : places)
    path += fmt::format("{}{} {}", path.empty() ? "M" : "L", pixels(x), pixels(y));
  return path;
}

// The axis of categories: their names where there is room.
void category_axis(Node svg, const LinesChart& chart, const Scale& x, double bottom, double left,
                   double right) {
  double free_from = -1e9;
  for (std::size_t i = 0; i < chart.categories.size(); ++i) {
    const double half = text_width(chart.categories[i], kText) / 2;
    const double place = std::clamp(x.at(static_cast<double>(i)), left + half, right - half);
    if (place - half < free_from + 8) continue;
    label(svg, place, bottom + 16, chart.categories[i], "tick", "middle");
    free_from = place + half;
  }
  label(svg, right, bottom + 34, fit(chart.x.title, right - left), "title", "end");
}

void draw_series(Node svg, const LinesChart::Series& series, std::string_view kind, const Scale& x,
                 const Scale& y) {
  Node group = add(svg, "g", kind);
  tooltip(group, series.name);
  std::vector<std::pair<double, double>> band, lower, middle;
  for (const LinesChart::Point& point : series.points) {
    const double px = x.at(point.x);
    middle.emplace_back(px, y.at(point.y));
    if (!point.interval) continue;
    band.emplace_back(px, y.at(point.interval->high));
    lower.emplace_back(px, y.at(point.interval->low));
  }
  if (band.size() > 1 && !series.points_only) {
    band.insert(band.end(), lower.rbegin(), lower.rend());
    put(add(group, "path", "band"), "d", polyline(band) + "Z");
  }
  if (middle.size() > 1 && !series.points_only) put(add(group, "path", "line"), "d", polyline(middle));
  if (middle.size() > 40) return;
  for (std::size_t i = 0; i < middle.size(); ++i) {
    const LinesChart::Point& point = series.points[i];
    if (point.interval && (series.points_only || middle.size() == 1)) {
      line(group, middle[i].first, y.at(point.interval->low), middle[i].first, y.at(point.interval->high),
           "interval");
    }
    if (series.reference && !series.points_only) continue;
    Node dot = add(group, "circle", "dot");
    put(dot, "cx", middle[i].first);
    put(dot, "cy", middle[i].second);
    put(dot, "r", 3);
  }
}

}  // namespace

Node draw_lines(Node parent, const LinesChart& chart, double width) {
  const bool narrow = width < 500;
  double x_low = 1e300, x_high = -1e300, y_low = 1e300, y_high = -1e300, names = 0;
  for (const LinesChart::Series& series : chart.series) {
    names = std::max(names, text_width(fit(series.name, narrow ? 84 : 150), kText));
    for (const LinesChart::Point& point : series.points) {
      x_low = std::min(x_low, point.x), x_high = std::max(x_high, point.x);
      y_low = std::min({y_low, point.y, point.interval ? point.interval->low : point.y});
      y_high = std::max({y_high, point.y, point.interval ? point.interval->high : point.y});
    }
  }
  if (chart.zero) y_low = std::min(y_low, 0.0), y_high = std::max(y_high, 0.0);
  const double left = 56, right = width - names - 16, top = 34, bottom = narrow ? 250 : 330;
  Node svg = root(parent, width, bottom + 42, chart.text);
  const Scale y(y_low, y_high, bottom, top, chart.y.spacing, narrow ? 5 : 6, true, chart.y.unit);
  y_axis(svg, y, left, right, chart.y.title, top);
  const bool categories = !chart.categories.empty();
  const double last = categories ? static_cast<double>(chart.categories.size()) - 1 : 0;
  const Scale x(categories ? -0.4 : x_low, categories ? last + 0.4 : x_high, left + 6, right - 6,
                chart.x.spacing, narrow ? 3 : 6, false, chart.x.unit);
  if (categories) {
    category_axis(svg, chart, x, bottom, left - 20, right);
  } else {
    x_axis(svg, x, top, bottom, chart.x.title, 0, right);
  }
  if (chart.zero) line(svg, left, y.at(0), right, y.at(0), "zero");
  std::vector<double> ends;
  int colour = 0;
  std::vector<std::string> kinds;
  for (const LinesChart::Series& series : chart.series) {
    kinds.push_back(series.reference ? "reference" : fmt::format("c{}", colour++ % kSeriesColours));
    draw_series(svg, series, kinds.back(), x, y);
    if (!series.name.empty()) ends.push_back(series.points.empty() ? bottom : y.at(series.points.back().y));
  }
  // Each line is named at its end, in its own colour.
  ends = spread(ends, 15, top, bottom);
  std::size_t named = 0;
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    if (chart.series[i].name.empty()) continue;  // a law, told in the caption
    label(svg, right + 8, ends[named++] + 4, fit(chart.series[i].name, narrow ? 84 : 150), "name " + kinds[i],
          "start");
  }
  return svg;
}

}  // namespace deciban
