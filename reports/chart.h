// Charts as SVG, drawn into a tree: what they show as data, one kind a function (chart_KIND.cc).  Colours are
// classes that the page's style fills in for light, dark and print.  All widths in pixels.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reports/markup.h"
#include "reports/scale.h"
#include "reports/statistics.h"

namespace deciban {

inline constexpr double kWideChart = 720, kNarrowChart = 340;
inline constexpr int kSeriesColours = 6;

// For those who cannot see it: a short title, and what it shows in a sentence.
struct ChartText {
  std::string title, description;
};

struct Axis {
  std::string title;  // with its unit
  Spacing spacing = Spacing::linear;
  TickUnit unit = TickUnit::plain;
};

// Values with their intervals, one below the other.
struct DotsChart {
  struct Row {
    std::string name, note;  // note: right of the row, a few letters
    double value = 0;
    std::optional<Interval> interval;
    bool accent = false, reference = false;
  };
  ChartText text;
  Axis x;
  std::vector<Row> rows;
};
Node draw_dots(Node parent, const DotsChart& chart, double width);

// Points of two quantities; where smaller is better in both (or x larger), the front of points that none
// beats.
struct ScatterChart {
  struct Point {
    std::string name;
    double x = 0, y = 0;
    std::optional<Interval> y_interval;
    bool reference = false;  // published elsewhere: not part of the front
  };
  ChartText text;
  Axis x, y;
  std::vector<Point> points;
  bool front = true, larger_x_is_better = false;
};
Node draw_scatter(Node parent, const ScatterChart& chart, double width);
// Which points are on the front: no other one is as good in both and better in one.
std::vector<bool> pareto_front(const ScatterChart& chart);

// Lines with bands of uncertainty.  Empty `categories`: x is a number; else x counts categories from 0.
struct LinesChart {
  struct Point {
    double x = 0, y = 0;
    std::optional<Interval> interval;
  };
  struct Series {
    std::string name;
    std::vector<Point> points;
    bool reference = false;  // grey and dashed: a law, a published curve
    bool points_only = false;
  };
  ChartText text;
  Axis x, y;
  std::vector<std::string> categories;
  std::vector<Series> series;
  bool zero = false;  // a line at y = 0, which the axis then holds
};
Node draw_lines(Node parent, const LinesChart& chart, double width);

// Values sorted from the smallest to the largest, filled towards zero.
struct SortedChart {
  ChartText text;
  Axis y;
  std::vector<double> values;
  std::string below, above;  // what values below and above zero mean
};
Node draw_sorted(Node parent, const SortedChart& chart, double width);

// Parts that all charts share.
namespace chart_parts {

inline constexpr double kText = 12, kRow = 24;

Node root(Node parent, double width, double height, const ChartText& text);
// `anchor`: "start", "middle" or "end"; `kind`: class of the text, "tick", "label", "title" or "name".
Node label(Node svg, double x, double y, std::string_view text, std::string_view kind,
           std::string_view anchor);
Node line(Node svg, double x1, double y1, double x2, double y2, std::string_view kind);
// Grid lines with their values: of x below the plot, of y left of it; titles at their ends.
void x_axis(Node svg, const Scale& scale, double top, double bottom, const std::string& title, double left,
            double right);
void y_axis(Node svg, const Scale& scale, double left, double right, const std::string& title, double top);
void tooltip(Node node, std::string_view text);
// Moves labels of height `height` apart, as little as may be, within low to high; keeps their order.
std::vector<double> spread(std::vector<double> places, double height, double low, double high);
// Cuts a name until it takes at most `width` pixels.
std::string fit(std::string_view name, double width);

}  // namespace chart_parts
}  // namespace deciban
