#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "reports/chart.h"
#include "reports/figures.h"

namespace deciban {

using namespace chart_parts;

namespace {

struct Box {
  double left, top, right, bottom;
  bool touches(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
};

// Puts each name where it touches neither a point nor another name, or nowhere: it stands in the tooltip,
// too.
void place_names(Node svg, const ScatterChart& chart, const std::vector<bool>& front, const Scale& x,
                 const Scale& y, const Box& plot, const std::vector<Box>& lines) {
  std::vector<Box> taken = lines;
  for (const ScatterChart::Point& point : chart.points) {
    const double px = x.at(point.x), py = y.at(point.y);
    taken.push_back({px - 6, py - 6, px + 6, py + 6});
    if (point.y_interval)
      taken.push_back({px - 2, y.at(point.y_interval->high), px + 2, y.at(point.y_interval->low)});
  }
  std::vector<std::size_t> order(chart.points.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return front[a] && !front[b]; });
  for (const std::size_t i : order) {
    const ScatterChart::Point& point = chart.points[i];
    const std::string name = fit(point.name, 150);
    const double px = x.at(point.x), py = y.at(point.y), wide = text_width(name, kText) + 2;
    // Above and below the interval, not beyond the plot's sides.
    const double over = std::clamp(px - wide / 2, plot.left, std::max(plot.left, plot.right - wide));
    const double high = point.y_interval ? y.at(point.y_interval->high) : py;
    const double low = point.y_interval ? y.at(point.y_interval->low) : py;
    // Right, left, above right, below right, above left, below left, further above, further below, at the
    // interval's ends.
    const double places[10][2] = {{px + 9, py},
                                  {px - 9 - wide, py},
                                  {px + 5, py - 13},
                                  {px + 5, py + 13},
                                  {px - 5 - wide, py - 13},
                                  {px - 5 - wide, py + 13},
                                  {px - wide / 2, py - 26},
                                  {px - wide / 2, py + 26},
                                  {over, high - 12},
                                  {over, low + 12}};
    for (const auto& place : places) {
      const Box box{place[0], place[1] - 8, place[0] + wide, place[1] + 7};
      const bool inside = box.left >= plot.left && box.right <= plot.right && box.top >= plot.top &&
                          box.bottom <= plot.bottom;
      if (!inside ||
          std::any_of(taken.begin(), taken.end(), [&](const Box& other) { return box.touches(other); }))
        continue;
      taken.push_back(box);
      label(svg, place[0], place[1] + 4, name, point.reference ? "tick" : "name", "start");
      break;
    }
  }
}

}  // namespace

std::vector<bool> pareto_front(const ScatterChart& chart) {
  const double sign = chart.larger_x_is_better ? -1 : 1;
  std::vector<bool> front;
  for (const ScatterChart::Point& point : chart.points) {
    const bool beaten = std::any_of(chart.points.begin(), chart.points.end(), [&](const auto& other) {
      return !other.reference && sign * other.x <= sign * point.x && other.y <= point.y &&
             (sign * other.x < sign * point.x || other.y < point.y);
    });
    front.push_back(!point.reference && !beaten);
  }
  return front;
}

Node draw_scatter(Node parent, const ScatterChart& chart, double width) {
  const bool narrow = width < 500;
  const double left = 56, right = width - 10, top = 34, bottom = narrow ? 290 : 380;
  Node svg = root(parent, width, bottom + 42, chart.text);
  double x_low = 1e300, x_high = -1e300, y_low = 1e300, y_high = -1e300;
  for (const ScatterChart::Point& point : chart.points) {
    x_low = std::min(x_low, point.x), x_high = std::max(x_high, point.x);
    y_low = std::min({y_low, point.y, point.y_interval ? point.y_interval->low : point.y});
    y_high = std::max({y_high, point.y, point.y_interval ? point.y_interval->high : point.y});
  }
  const Scale x(x_low, x_high, left + 10, right - 10, chart.x.spacing, narrow ? 4 : 7, true, chart.x.unit);
  const Scale y(y_low, y_high, bottom, top, chart.y.spacing, narrow ? 5 : 7, true, chart.y.unit);
  y_axis(svg, y, left, right, chart.y.title, top);
  x_axis(svg, x, top, bottom, chart.x.title, 0, right);

  const std::vector<bool> front =
      chart.front ? pareto_front(chart) : std::vector<bool>(chart.points.size(), false);
  std::vector<Box> steps;
  if (chart.front) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < front.size(); ++i) {
      if (front[i]) order.push_back(i);
    }
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return chart.points[a].x < chart.points[b].x; });
    std::string path;
    double last_x = 0, last_y = 0;
    for (const std::size_t i : order) {
      const double px = x.at(chart.points[i].x), py = y.at(chart.points[i].y);
      if (path.empty()) {
        path = fmt::format("M{} {}", pixels(px), pixels(py));
      } else {
        // Where larger is better what is faster comes last: up first, then across.
        const bool up = chart.larger_x_is_better;
        const double corner_x = up ? last_x : px, corner_y = up ? py : last_y;
        path += up ? fmt::format("V{}H{}", pixels(py), pixels(px))
                   : fmt::format("H{}V{}", pixels(px), pixels(py));
        steps.push_back({std::min(last_x, px) - 1, corner_y - 2, std::max(last_x, px) + 1, corner_y + 2});
        steps.push_back({corner_x - 2, std::min(last_y, py) - 1, corner_x + 2, std::max(last_y, py) + 1});
      }
      last_x = px, last_y = py;
    }
    if (order.size() > 1) put(add(svg, "path", "front"), "d", path);
  }
  for (std::size_t i = 0; i < chart.points.size(); ++i) {
    const ScatterChart::Point& point = chart.points[i];
    Node group = add(svg, "g", point.reference ? "reference" : front[i] ? "accent" : "plain");
    tooltip(group, fmt::format("{}: {}, {}{}", point.name, short_number(point.x), fixed(point.y, 4),
                               point.y_interval ? " (" + interval_text(point.y_interval, 4) + ")" : ""));
    const double px = x.at(point.x);
    if (point.y_interval)
      line(group, px, y.at(point.y_interval->low), px, y.at(point.y_interval->high), "interval");
    Node dot = add(group, "circle", "dot");
    put(dot, "cx", px);
    put(dot, "cy", y.at(point.y));
    put(dot, "r", 4.5);
  }
  place_names(svg, chart, front, x, y, {left, top - 6, right, bottom}, steps);
  return svg;
}

}  // namespace deciban
