#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "reports/chart.h"
#include "reports/cost_table.h"
#include "reports/scaling_charts.h"
#include "reports/sections.h"

namespace deciban {
namespace {

constexpr std::size_t kMostSeries = 6;

struct Metric {
  const char *name, *heading, *axis, *caption;
  TickUnit unit;
};

constexpr Metric kScalingMetrics[] = {
    {"prefill_seconds", "Reading a prompt", "time to the first token",
     "Time until the next token is known after reading so many tokens at once.", TickUnit::seconds},
    {"step_seconds", "One more token", "time for one token",
     "Time for one more token when so many have been read. A flat line is a state of fixed size.",
     TickUnit::seconds},
    {"cache_bytes", "Memory for what was read", "state or cache",
     "What a model keeps of the text it has read.", TickUnit::bytes},
    {"resident_bytes", "Memory of the process", "most memory of the process",
     "The whole process that measured this point, weights included.", TickUnit::bytes},
    {"device_bytes", "Memory of the device", "device memory", "As the accelerator’s driver sees it.",
     TickUnit::bytes}};

std::string name_of(const CostSeries& series, bool devices, bool batches) {
  std::string name = series.model;
  if (batches) name += fmt::format(" ×{}", series.batch);
  if (devices) name += fmt::format(" ({})", series.device);
  return name;
}

// One line a series, and its law dashed in grey.
bool chart_of(Node section, const std::vector<CostSeries>& all, const Metric& metric, std::uint64_t seed) {
  std::set<std::string> devices;
  std::set<std::size_t> batches;
  for (const CostSeries& series : all) devices.insert(series.device), batches.insert(series.batch);
  LinesChart chart;
  chart.text = {
      metric.heading,
      fmt::format("One line a model: {} against length; dashed lines are fitted laws.", metric.axis)};
  chart.x = {"length, tokens", Spacing::logarithmic, TickUnit::count};
  chart.y = {metric.axis, Spacing::logarithmic, metric.unit};
  std::vector<LinesChart::Series> laws;
  std::vector<std::string> others;
  for (const CostSeries& series : all) {
    LinesChart::Series line{name_of(series, devices.size() > 1, batches.size() > 1), {}};
    for (const CostPoint& point : series.points) {
      const auto found = point.metrics.find(metric.name);
      if (point.status != "ok" || found == point.metrics.end() || !(found->second.value > 0)) continue;
      const CostValue& value = found->second;
      line.points.push_back(
          {static_cast<double>(point.length), value.value,
           Interval{value.low > 0 ? value.low : value.value, std::max(value.high, value.value)}});
    }
    if (line.points.size() < 2) continue;
    if (chart.series.size() == kMostSeries) {
      others.push_back(line.name);
      continue;
    }
    const GrowthVerdict verdict = growth_of(growth_points(series, metric.name), seed);
    if (verdict.fit) {
      LinesChart::Series law{"", {}, true};
      const double low = line.points.front().x, high = line.points.back().x;
      for (int i = 0; i <= 40; ++i) {
        const double length = low * std::pow(high / low, i / 40.0), value = verdict.fit->at(length);
        if (value > 0) law.points.push_back({length, value, std::nullopt});
      }
      laws.push_back(std::move(law));
    }
    chart.series.push_back(std::move(line));
  }
  if (chart.series.empty()) return false;
  for (LinesChart::Series& law : laws) chart.series.push_back(std::move(law));
  add_text(section, "h3", metric.heading);
  figure(
      section,
      fmt::format("{} Both axes are logarithmic: what doubles with the length rises at 45° of their scales; "
                  "bands are 95 % intervals of medians, dashed lines the laws of the table below.",
                  metric.caption),
      [&](Node parent, double width) { draw_lines(parent, chart, width); });
  if (!others.empty()) paragraph(section, "Only in the table below: " + listed(others, 9) + ".", "soft");
  return true;
}

void sweep(Page& page, const ReportInput& input, const std::string& kind, const char* id, const char* title,
           const char* lead) {
  std::vector<CostPoint> points;
  for (const CostPoint& point : input.collection.costs) {
    if (point.kind == kind) points.push_back(point);
  }
  if (points.empty()) return;
  Node section = page.section(id, title);
  paragraph(section, lead);
  const std::vector<CostSeries> series = cost_series(points);
  for (const Metric& metric : kScalingMetrics) chart_of(section, series, metric, input.options.seed);
  if (kind == "model") {
    generation_charts(section, series);
    size_charts(section, series);
  }
  put_table(section,
            kind == "mixer" ? "How costs grow with the length: the RWKV paper’s Table 1, measured"
                            : "How costs grow with the length",
            growth_table(points, input.options.seed));
  put_table(section, "Where one becomes cheaper than another", crossover_table(points, input.options.seed));
  put_table(section, "All points", cost_table(points));
  std::set<std::string> unmet;
  for (const CostPoint& point : points) unmet.insert(point.unmet.begin(), point.unmet.end());
  if (!unmet.empty()) {
    std::vector<std::string> words(unmet.begin(), unmet.end());
    paragraph(section, "Conditions that some of these measurements missed: " + listed(words, 6) + ".",
              "soft");
  }
}

// Benchmarks that other programs measured, as they are.
void benchmarks(Page& page, const ReportInput& input) {
  std::vector<const CostPoint*> points;
  for (const CostPoint& point : input.collection.costs) {
    if (point.kind == "benchmark" && point.metrics.contains("run_seconds")) points.push_back(&point);
  }
  if (points.empty()) return;
  Node section = page.section("benchmarks", "Benchmarks");
  Node body = table(section, "Times of single runs",
                    {{"benchmark", false}, {"threads"}, {"median"}, {"95 %"}, {"repeats"}});
  for (const CostPoint* point : points) {
    const CostValue& value = point->metrics.at("run_seconds");
    Node row = add(body, "tr");
    name_cell(row, point->model);
    number_cell(row, fmt::format("{}", point->threads));
    number_cell(row, show_seconds(value.value));
    number_cell(row, value.samples > 1
                         ? fmt::format("{} … {}", show_seconds(value.low), show_seconds(value.high))
                         : "–");
    number_cell(row, fmt::format("{}", value.samples));
  }
}

}  // namespace

void scaling_section(Page& page, const ReportInput& input) {
  sweep(page, input, "model", "scaling", "What length costs",
        "Time and memory against the number of tokens, each point measured in a process of its own. Laws are "
        "chosen by "
        "how well they predict the longest lengths from the shorter ones.");
  sweep(page, input, "mixer", "mixers", "What one layer’s mixer costs",
        "The part of a layer in which tokens meet, alone: attention, linear attention and recurrences at one "
        "width.");
  benchmarks(page, input);
}

}  // namespace deciban
