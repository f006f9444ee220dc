#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "reports/chart.h"
#include "reports/display_text.h"

namespace deciban::chart_parts {

Node root(Node parent, double width, double height, const ChartText& text) {
  Node svg = add(parent, "svg", "chart");
  put(svg, "xmlns", "http://www.w3.org/2000/svg");
  put(svg, "viewBox", fmt::format("0 0 {} {}", pixels(width), pixels(height)));
  put(svg, "width", width);
  put(svg, "height", height);
  put(svg, "role", "img");
  add_text(svg, "title", text.title);
  add_text(svg, "desc", text.description);
  return svg;
}

Node label(Node svg, double x, double y, std::string_view text, std::string_view kind,
           std::string_view anchor) {
  Node node = add(svg, "text", kind);
  put(node, "x", x);
  put(node, "y", y);
  if (anchor != "start") put(node, "text-anchor", anchor);
  put_text(node, text);
  return node;
}

Node line(Node svg, double x1, double y1, double x2, double y2, std::string_view kind) {
  Node node = add(svg, "line", kind);
  put(node, "x1", x1);
  put(node, "y1", y1);
  put(node, "x2", x2);
  put(node, "y2", y2);
  return node;
}

void x_axis(Node svg, const Scale& scale, double top, double bottom, const std::string& title, double left,
            double right) {
  double free_from = -1e9;
  for (const Tick& tick : scale.ticks()) {
    const double x = scale.at(tick.value), half = text_width(tick.label, kText) / 2;
    line(svg, x, top, x, bottom, "grid");
    // The ends stay on the paper; a label that would touch the one before is left out.
    const double place = std::clamp(x, left + half, right - half);
    if (place - half < free_from + 6) continue;
    label(svg, place, bottom + 16, tick.label, "tick", "middle");
    free_from = place + half;
  }
  label(svg, right, bottom + 34, fit(title, right - left), "title", "end");
}

void y_axis(Node svg, const Scale& scale, double left, double right, const std::string& title, double top) {
  for (const Tick& tick : scale.ticks()) {
    const double y = scale.at(tick.value);
    line(svg, left, y, right, y, "grid");
    label(svg, left - 8, y + 4, tick.label, "tick", "end");
  }
  label(svg, 0, top - 14, title, "title", "start");
}

void tooltip(Node node, std::string_view text) {
  add_text(node, "title", shorten_middle(display_text(text), 200));
}

std::vector<double> spread(std::vector<double> places, double height, double low, double high) {
  std::vector<std::size_t> order(places.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return places[a] < places[b]; });
  // Groups of touching labels, each about the mean of where its labels would be.
  struct Group {
    double sum = 0, count = 0;
    std::size_t begin = 0;
  };
  std::vector<Group> groups;
  const auto first = [&](const Group& group) {
    const double extent = height * (group.count - 1);
    return std::clamp(group.sum / group.count - extent / 2, low, std::max(low, high - extent));
  };
  for (std::size_t i = 0; i < order.size(); ++i) {
    groups.push_back({places[order[i]], 1, i});
    while (groups.size() > 1) {
      const Group &last = groups.back(), &before = groups[groups.size() - 2];
      if (first(before) + height * before.count <= first(last)) break;
      groups[groups.size() - 2].sum += last.sum;
      groups[groups.size() - 2].count += last.count;
      groups.pop_back();
    }
  }
  for (const Group& group : groups) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(group.count); ++i)
      places[order[group.begin + i]] = first(group) + height * static_cast<double>(i);
  }
  return places;
}

std::string fit(std::string_view name, double width) {
  std::string text = display_text(name.substr(0, 400));
  for (std::size_t columns = std::min<std::size_t>(display_width(text), 120);
       columns > 1 && text_width(text, kText) > width; --columns) {
    text = shorten_middle(text, columns);
  }
  return text;
}

}  // namespace deciban::chart_parts
