#include "reports/cost_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace deciban {
namespace {

// Three significant digits with the unit that keeps them short.
struct Unit {
  double size;
  std::string_view name;
};
std::string scaled(double value, std::span<const Unit> units) {
  const Unit* unit = &units.back();
  for (const Unit& candidate : units) {
    if (std::abs(value) >= candidate.size * 0.9995) {
      unit = &candidate;
      break;
    }
  }
  const double number = value / unit->size;
  const int digits = std::abs(number) < 9.995 ? 2 : std::abs(number) < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}{}{}", number, digits, unit->name.empty() ? "" : " ", unit->name);
}

const CostValue* metric_of(const CostPoint& point, std::string_view name) {
  const auto found = point.metrics.find(std::string(name));
  return found == point.metrics.end() ? nullptr : &found->second;
}

Cell metric_cell(const CostPoint& point, std::string_view name, std::string (*show)(double)) {
  const CostValue* value = metric_of(point, name);
  return value ? Cell{show(value->value), fmt::format("{}", value->value)} : Cell{"–", "null"};
}

Cell interval_cell(const CostPoint& point, std::string_view name) {
  const CostValue* value = metric_of(point, name);
  if (!value) return {"–", "null"};
  const double half = (value->high - value->low) / 2 / value->value * 100;
  // What a condition was missed for is marked: "prefill: noise …" begins with the metric's first word.
  const std::string what(name.substr(0, name.find('_')));
  const bool missed = std::any_of(point.unmet.begin(), point.unmet.end(),
                                  [&](const std::string& unmet) { return unmet.starts_with(what); });
  return {
      fmt::format("{}{} ±{:.{}f} %", missed ? "~" : "", show_seconds(value->value), half, half < 9.5 ? 1 : 0),
      fmt::format("{}", value->value)};
}

Cell words(const std::string& text) { return {text, ""}; }
Cell number(std::size_t value) { return {fmt::format("{}", value), fmt::format("{}", value)}; }

constexpr std::array kMetrics{CostMetric{"prefill_seconds", "prefill time", true},
                              CostMetric{"step_seconds", "step time", true},
                              CostMetric{"generation_seconds", "generation time", true},
                              CostMetric{"cache_bytes", "state or cache", false},
                              CostMetric{"resident_bytes", "process memory", false},
                              CostMetric{"device_bytes", "device memory", false}};

std::string series_name(const CostSeries& series, bool several_devices) {
  std::string name = series.model;
  if (series.batch > 1) name += fmt::format(" ×{}", series.batch);
  if (several_devices) name += fmt::format(" ({})", series.device);
  return name;
}

bool several_devices(std::span<const CostPoint> points) {
  return std::any_of(points.begin(), points.end(),
                     [&](const CostPoint& p) { return p.device != points.front().device; });
}

}  // namespace

std::string show_seconds(double seconds) {
  static constexpr std::array kUnits{Unit{1, "s"}, Unit{1e-3, "ms"}, Unit{1e-6, "µs"}, Unit{1e-9, "ns"}};
  return scaled(seconds, kUnits);
}

std::string show_bytes(double bytes) {
  static constexpr std::array kUnits{Unit{1e12, "TB"}, Unit{1e9, "GB"}, Unit{1e6, "MB"}, Unit{1e3, "kB"}};
  return bytes < 1000 ? fmt::format("{:.0f} B", bytes) : scaled(bytes, kUnits);
}

std::string show_count(double count) {
  if (count < 99'950) return fmt::format("{:.0f}", count);
  static constexpr std::array kLarge{Unit{1e9, "G"}, Unit{1e6, "M"}, Unit{1e3, "k"}};
  return scaled(count, kLarge);
}

std::vector<CostSeries> cost_series(std::span<const CostPoint> points) {
  std::vector<CostSeries> all;
  for (const CostPoint& point : points) {
    auto series = std::find_if(all.begin(), all.end(), [&](const CostSeries& s) {
      return s.model == point.model && s.device == point.device && s.format == point.format &&
             s.batch == point.batch;
    });
    if (series == all.end()) {
      all.push_back({point.model, point.device, point.format, point.batch, {}});
      series = all.end() - 1;
    }
    series->points.push_back(point);
  }
  for (CostSeries& series : all) {
    std::stable_sort(series.points.begin(), series.points.end(),
                     [](const CostPoint& a, const CostPoint& b) { return a.length < b.length; });
  }
  return all;
}

std::vector<GrowthPoint> growth_points(const CostSeries& series, std::string_view metric) {
  std::vector<GrowthPoint> points;
  for (const CostPoint& point : series.points) {
    const CostValue* value = metric_of(point, metric);
    if (point.status != "ok" || !value || !(value->value > 0)) continue;
    constexpr double kIntervalOfSigma = 2 * 1.959964;
    points.push_back({static_cast<double>(point.length), value->value,
                      (value->high - value->low) / kIntervalOfSigma / value->value});
  }
  return points;
}

std::span<const CostMetric> growing_metrics() { return kMetrics; }

Table cost_table(std::span<const CostPoint> points) {
  Table table;
  table.columns = {{"model", "model", false},
                   {"T", "length"},
                   {"batch", "batch"},
                   {"prefill", "prefill_seconds"},
                   {"tok/s", "prefill_tokens_per_second"},
                   {"step", "step_seconds"},
                   {"p99", "step_p99_seconds"},
                   {"generate T", "generation_seconds"},
                   {"weights", "weights_bytes"},
                   {"state/cache", "cache_bytes"},
                   {"work", "workspace_bytes"},
                   {"resident", "resident_bytes"},
                   {"device", "device_bytes"},
                   {"low", "prefill_seconds_low", true, true},
                   {"high", "prefill_seconds_high", true, true},
                   {"low", "step_seconds_low", true, true},
                   {"high", "step_seconds_high", true, true},
                   {"bytes/s", "prefill_bytes_per_second", true, true},
                   {"step joules", "step_joules", true, true},
                   {"clock", "clock_hertz", true, true},
                   {"device taken", "device_taken_bytes", true, true},
                   {"device accounted", "device_accounted_bytes", true, true},
                   {"unmet", "unmet", false, true},
                   {"status", "status", false, true},
                   {"reason", "reason", false, true}};
  std::size_t unmet = 0;
  for (const CostSeries& series : cost_series(points)) {
    for (const CostPoint& p : series.points) {
      const auto bound = [&](std::string_view name, bool low) {
        const CostValue* value = metric_of(p, name);
        return value ? Cell{"", fmt::format("{}", low ? value->low : value->high)} : Cell{"", "null"};
      };
      std::vector<Cell> row{words(p.model), number(p.length), number(p.batch)};
      if (p.status == "ok") {
        row.push_back(interval_cell(p, "prefill_seconds"));
        row.push_back(metric_cell(p, "prefill_tokens_per_second", show_count));
        row.push_back(interval_cell(p, "step_seconds"));
        row.push_back(metric_cell(p, "step_p99_seconds", show_seconds));
        row.push_back(metric_cell(p, "generation_seconds", show_seconds));
      } else {
        row.push_back({p.status == "limit"    ? "too long"
                       : p.status == "memory" ? "no memory"
                       : p.status == "time"   ? "no time"
                                              : "failed",
                       "null"});
        row.insert(row.end(), 4, Cell{"", "null"});
      }
      for (const char* name :
           {"weights_bytes", "cache_bytes", "workspace_bytes", "resident_bytes", "device_bytes"})
        row.push_back(metric_cell(p, name, show_bytes));
      row.push_back(bound("prefill_seconds", true));
      row.push_back(bound("prefill_seconds", false));
      row.push_back(bound("step_seconds", true));
      row.push_back(bound("step_seconds", false));
      for (const char* name : {"prefill_bytes_per_second", "step_joules", "clock_hertz"})
        row.push_back(metric_cell(p, name, show_count));
      for (const char* name : {"device_taken_bytes", "device_accounted_bytes"})
        row.push_back(metric_cell(p, name, show_bytes));
      row.push_back(words(fmt::format("{}", fmt::join(p.unmet, "; "))));
      row.push_back(words(p.status));
      row.push_back(words(p.reason));
      table.rows.push_back(std::move(row));
      if (!p.reason.empty())
        table.notes.push_back(fmt::format("{} at {} tokens: {}", p.model, p.length, p.reason));
      if (!p.unmet.empty()) ++unmet;
    }
  }
  if (unmet > 0) {
    table.notes.push_back(fmt::format(
        "~ {} of {} points miss a condition (runs, time or noise); \"unmet\" in costs.jsonl and in --format "
        "json says which.",
        unmet, points.size()));
  }
  return table;
}

Table growth_table(std::span<const CostPoint> points, std::uint64_t seed) {
  Table table;
  table.columns = {{"model", "model", false},
                   {"what", "metric", false},
                   {"law", "law", false},
                   {"a", "a"},
                   {"b", "b"},
                   {"c", "c"},
                   {"local exponent", "exponent"},
                   {"over T", "over", false},
                   {"held-out error", "held_out_error"},
                   {"low", "exponent_low", true, true},
                   {"high", "exponent_high", true, true}};
  const bool devices = several_devices(points);
  for (const CostSeries& series : cost_series(points)) {
    for (const CostMetric& metric : growing_metrics()) {
      const std::vector<GrowthPoint> values = growth_points(series, metric.name);
      if (values.size() < 2) continue;
      const GrowthVerdict verdict = growth_of(values, seed);
      const auto coefficient = [&](double value, double per) {
        if (!verdict.fit || value == 0) return Cell{"–", verdict.fit ? "0" : "null"};
        return Cell{(metric.time ? show_seconds(value * per) : show_bytes(value * per)),
                    fmt::format("{}", value)};
      };
      constexpr double kPer = 1000;  // tokens: b and c are shown so that they can be read
      const LocalExponent& e = *verdict.exponent;
      table.rows.push_back(
          {words(series_name(series, devices)),
           words(std::string(metric.title)),
           words(verdict.words()),
           coefficient(verdict.fit ? verdict.fit->a : 0, 1),
           coefficient(verdict.fit ? verdict.fit->b : 0, kPer),
           coefficient(verdict.fit ? verdict.fit->c : 0,
                       verdict.fit && verdict.fit->law == GrowthLaw::quadratic      ? kPer * kPer
                       : verdict.fit && verdict.fit->law == GrowthLaw::linearithmic ? kPer * std::log(kPer)
                                                                                    : std::log(kPer)),
           {fmt::format("{:.2f} [{:.2f}, {:.2f}]", e.value, e.interval.low, e.interval.high),
            fmt::format("{}", e.value)},
           words(fmt::format("{} … {}", show_count(e.from), show_count(e.to))),
           verdict.fit ? Cell{fmt::format("{:.1f} %", 100 * verdict.held_out_error),
                              fmt::format("{}", verdict.held_out_error)}
                       : Cell{"–", "null"},
           {"", fmt::format("{}", e.interval.low)},
           {"", fmt::format("{}", e.interval.high)}});
    }
  }
  table.notes = {
      "Laws: a, a + c log T, a + b T, a + b T + c T log T, a + b T + c T². b and c are shown as what they "
      "cost at T = 1000."};
  return table;
}

Table crossover_table(std::span<const CostPoint> points, std::uint64_t seed) {
  Table table;
  table.columns = {{"what", "metric", false},   {"cheaper when longer", "model", false},
                   {"than", "other", false},    {"from T", "length"},
                   {"95 %", "interval", false}, {"how", "how", false}};
  const std::vector<CostSeries> all = cost_series(points);
  const bool devices = several_devices(points);
  for (const CostMetric& metric : growing_metrics()) {
    if (!metric.time) continue;
    for (std::size_t i = 0; i < all.size(); ++i) {
      for (std::size_t j = i + 1; j < all.size(); ++j) {
        if (all[i].batch != all[j].batch || all[i].model == all[j].model) continue;
        const auto found =
            crossover(growth_points(all[i], metric.name), growth_points(all[j], metric.name), seed);
        if (!found) continue;
        const CostSeries& winner = found->first_cheaper_after ? all[i] : all[j];
        const CostSeries& loser = found->first_cheaper_after ? all[j] : all[i];
        const auto end = [](double length) {
          return std::isinf(length) ? std::string("∞") : show_count(length);
        };
        table.rows.push_back(
            {words(std::string(metric.title)),
             words(series_name(winner, devices)),
             words(series_name(loser, devices)),
             {show_count(found->length), fmt::format("{:.0f}", found->length)},
             words(fmt::format("{} … {}", end(found->interval.low), end(found->interval.high))),
             words(found->extrapolated ? "extrapolated" : "measured")});
      }
    }
  }
  return table;
}

}  // namespace deciban
