#include "reports/scaling_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "reports/chart.h"
#include "reports/figures.h"

namespace deciban {
namespace {

constexpr std::size_t kMostLines = 6;
constexpr const char* kGeneration = "generation_seconds";

Interval interval_of(const CostValue& value) {
  return {value.low > 0 ? value.low : value.value, std::max(value.high, value.value)};
}

const CostValue* value_of(const CostPoint& point, const char* metric) {
  const auto found = point.metrics.find(metric);
  return point.status != "ok" || found == point.metrics.end() || !(found->second.value > 0) ? nullptr
                                                                                            : &found->second;
}

// Distinguishes what the name alone does not.
std::string name_among(const CostSeries& one, std::span<const CostSeries> all, const std::string& name) {
  std::string words = name;
  const auto differ = [&](auto part) {
    return std::any_of(all.begin(), all.end(), [&](const CostSeries& s) { return part(s) != part(one); });
  };
  if (differ([](const CostSeries& s) { return s.batch; })) words += fmt::format(" ×{}", one.batch);
  if (differ([](const CostSeries& s) { return s.format; })) words += " " + one.format;
  if (differ([](const CostSeries& s) { return s.device; })) words += " " + one.device;
  return words;
}

struct Line {
  LinesChart::Series line;
  double parameters = 0;
};

void generation_chart(Node section, std::span<const Line> lines) {
  LinesChart chart;
  const double smallest = lines.front().parameters, largest = lines.back().parameters;
  std::string size;
  if (smallest > 0)
    size = smallest == largest ? ": " + short_number(smallest)
                               : fmt::format(": {} to {}", short_number(smallest), short_number(largest));
  chart.text = {"Generating from nothing", "One line a model: seconds until so many tokens were generated."};
  chart.x = {"tokens generated", Spacing::linear, TickUnit::count};
  chart.y = {"time since the start", Spacing::linear, TickUnit::seconds};
  chart.zero = true;
  for (const Line& line : lines) chart.series.push_back(line.line);
  add_text(section, "h3", "Generating from nothing" + size + (size.empty() ? "" : " parameters"));
  figure(
      section,
      "Time until so many tokens were generated one after the other, from an empty context (the RWKV paper’s "
      "Fig. 7). A straight line costs as much for each token; a line that bends up reads back what it wrote.",
      [&](Node parent, double width) { draw_lines(parent, chart, width); });
}

// The longest of the lengths at which the most models have the metric.
std::size_t common_length(std::span<const CostSeries> all, const char* metric) {
  std::map<std::size_t, std::size_t> models;
  for (const CostSeries& series : all) {
    for (const CostPoint& point : series.points) models[point.length] += value_of(point, metric) ? 1 : 0;
  }
  std::size_t best = 0, most = 0;
  for (const auto& [length, count] : models) {
    if (count >= std::max<std::size_t>(most, 1)) best = length, most = count;
  }
  return best;
}

// Lines of families with models of two sizes or more.
std::vector<LinesChart::Series> by_family(std::span<const CostSeries> all, std::size_t length,
                                          const std::function<CostValue(const CostPoint&)>& value) {
  std::vector<LinesChart::Series> lines;
  for (const CostSeries& series : all) {
    for (const CostPoint& point : series.points) {
      if (point.length != length || point.status != "ok" || point.parameters == 0) continue;
      const CostValue cost = value(point);
      if (!(cost.value > 0)) continue;
      const std::string name = name_among(series, all, point.family.empty() ? point.model : point.family);
      auto line = std::find_if(lines.begin(), lines.end(), [&](const auto& l) { return l.name == name; });
      if (line == lines.end()) line = lines.insert(line, {name, {}});
      line->points.push_back({static_cast<double>(point.parameters), cost.value, interval_of(cost)});
    }
  }
  for (LinesChart::Series& line : lines) {
    std::sort(line.points.begin(), line.points.end(), [](const auto& a, const auto& b) { return a.x < b.x; });
  }
  std::erase_if(lines, [](const auto& line) { return line.points.front().x == line.points.back().x; });
  if (lines.size() > kMostLines) lines.resize(kMostLines);
  return lines;
}

void size_chart(Node section, const std::string& heading, const std::string& axis, TickUnit unit,
                const std::string& caption, std::vector<LinesChart::Series> lines) {
  if (lines.empty()) return;
  LinesChart chart;
  chart.text = {heading, fmt::format("One line a family: {} against the number of parameters.", axis)};
  chart.x = {"parameters", Spacing::logarithmic, TickUnit::count};
  chart.y = {axis, Spacing::logarithmic, unit};
  chart.series = std::move(lines);
  add_text(section, "h3", heading);
  figure(section, caption, [&](Node parent, double width) { draw_lines(parent, chart, width); });
}

}  // namespace

void generation_charts(Node section, std::span<const CostSeries> series) {
  std::vector<Line> lines;
  for (const CostSeries& one : series) {
    Line line{{name_among(one, series, one.model), {{0, 0, Interval{0, 0}}}}, 0};
    for (const CostPoint& point : one.points) {
      if (const CostValue* value = value_of(point, kGeneration)) {
        line.line.points.push_back({static_cast<double>(point.length), value->value, interval_of(*value)});
        line.parameters = static_cast<double>(point.parameters);
      }
    }
    if (line.line.points.size() > 2) lines.push_back(std::move(line));
  }
  std::stable_sort(lines.begin(), lines.end(),
                   [](const Line& a, const Line& b) { return a.parameters < b.parameters; });
  for (std::size_t begin = 0; begin < lines.size();) {
    std::size_t end = begin + 1;
    while (end < lines.size() && end - begin < kMostLines &&
           lines[end].parameters <= 2 * lines[begin].parameters)
      ++end;
    generation_chart(section, std::span(lines).subspan(begin, end - begin));
    begin = end;
  }
}

void size_charts(Node section, std::span<const CostSeries> series) {
  const bool generated = common_length(series, kGeneration) > 0;
  const char* metric = generated ? kGeneration : "step_seconds";
  const std::size_t length = common_length(series, metric);
  if (length == 0) return;
  const auto time = [&](const CostPoint& point) {
    const CostValue* value = value_of(point, metric);
    return value ? *value : CostValue{};
  };
  const auto memory = [](const CostPoint& point) {
    const CostValue* cache = value_of(point, "cache_bytes");
    const CostValue* work = value_of(point, "workspace_bytes");
    const double bytes = (cache ? cache->value : 0) + (work ? work->value : 0);
    return CostValue{bytes, bytes, bytes, 1};
  };
  size_chart(section, "Time against the model’s size",
             generated ? fmt::format("time to generate {} tokens", length)
                       : fmt::format("time for one token after {}", length),
             TickUnit::seconds, "One line a family (the RWKV paper’s Fig. 14); both axes are logarithmic.",
             by_family(series, length, time));
  size_chart(section, "Memory against the model’s size",
             fmt::format("memory beside the parameters, {} tokens", length), TickUnit::bytes,
             "State or cache and activations, parameters left out (the RWKV paper’s Fig. 13); both axes are "
             "logarithmic.",
             by_family(series, length, memory));
}

}  // namespace deciban
