#include "evals/task_results.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "evals/task_metrics.h"

namespace deciban {
namespace {

using Records = std::vector<const Record*>;

std::vector<Measure> measures(const Records& records, const std::string& metric) {
  std::vector<Measure> result;
  for (const Record* record : records) {
    if (const auto found = record->measures.find(metric); found != record->measures.end())
      result.push_back(found->second);
  }
  return result;
}

// What is resampled together: documents, or all of one passage.
std::vector<RatioTerm> metric_terms(const Records& records, const std::string& metric) {
  std::vector<RatioTerm> result;
  std::map<std::string, std::size_t> clusters;
  for (const Record* record : records) {
    const auto found = record->measures.find(metric);
    if (found == record->measures.end()) continue;
    std::size_t place = result.size();
    if (const auto label = record->labels.find("cluster"); label != record->labels.end())
      place = clusters.emplace(label->second, place).first->second;
    if (place == result.size()) result.emplace_back();
    result[place].numerator += found->second.sum;
    result[place].denominator += found->second.weight;
  }
  return result;
}

// The interval of a ratio of sums as one of the metric, which is a monotone function of it.
std::optional<Interval> of_metric(const std::string& metric, const std::optional<Interval>& ratio) {
  if (!ratio || higher_is_better(metric)) return ratio;
  const auto figure = [&](double value) {
    return metric == "bits_per_byte" ? -value / std::numbers::ln2 : std::exp(-value);
  };
  return Interval{figure(ratio->high), figure(ratio->low)};
}

// Proportions end at 0 and 1, whatever an interval's approximation says.
std::optional<Interval> bounded(const std::string& metric, std::optional<Interval> interval) {
  if (interval && higher_is_better(metric))
    interval = Interval{std::clamp(interval->low, 0.0, 1.0), std::clamp(interval->high, 0.0, 1.0)};
  return interval;
}

std::size_t clusters_of(const Records& records) {
  std::map<std::string, std::size_t> sizes;
  for (const Record* record : records) {
    if (const auto label = record->labels.find("cluster"); label != record->labels.end())
      ++sizes[label->second];
  }
  return static_cast<std::size_t>(
      std::count_if(sizes.begin(), sizes.end(), [](const auto& one) { return one.second > 1; }));
}

TaskResult result_of(const TaskModel& model, const TaskSpec& task, const Records& good, std::size_t failed,
                     const TaskReportOptions& options) {
  const TaskRules& rules = task.rules_of(options.mode);
  TaskResult result;
  result.model = model.label;
  result.windowing = model.windowing;
  result.name = task.name;
  result.alias = task.alias;
  result.version = rules.version;
  result.shots = options.shots;
  result.documents = good.size();
  result.failed = failed;
  result.clusters = clusters_of(good);
  for (const std::string& metric : rules.metrics) {
    const std::vector<Measure> own = measures(good, metric);
    TaskFigure figure;
    figure.metric = metric;
    figure.value = figure_of(metric, own);
    figure.error = standard_error(metric, own, options.resamples);
    figure.interval = bounded(
        metric, of_metric(metric, ratio_estimate(metric_terms(good, metric), 0.95, options.seed).interval));
    result.figures.push_back(std::move(figure));
  }
  return result;
}

const TaskFigure* figure_named(const TaskResult& result, const std::string& metric) {
  const auto found = std::find_if(result.figures.begin(), result.figures.end(),
                                  [&](const TaskFigure& figure) { return figure.metric == metric; });
  return found == result.figures.end() ? nullptr : &*found;
}

// The metrics that a group has means of: those that all of its tasks have, or the one named for each.
std::vector<std::string> group_metrics(const TaskGroup& group, const std::vector<const TaskResult*>& parts) {
  if (!group.measures.empty()) return {"mean"};
  std::vector<std::string> result;
  for (const TaskFigure& figure : parts.front()->figures) {
    const bool all = std::all_of(parts.begin(), parts.end(), [&](const TaskResult* part) {
      return figure_named(*part, figure.metric) != nullptr;
    });
    if (all && higher_is_better(figure.metric)) result.push_back(figure.metric);
  }
  return result;
}

}  // namespace

std::vector<TaskResult> task_results(std::span<const Record> records, const TaskModel& model,
                                     std::span<const TaskSpec* const> tasks,
                                     std::span<const TaskGroup* const> groups,
                                     const TaskReportOptions& options) {
  std::map<std::string, Records> by_task;
  std::map<std::string, std::size_t> failed;
  for (const Record& record : records) {
    if (record.model != model.label || record.windowing != model.windowing) continue;
    if (record.status == "ok")
      by_task[record.task].push_back(&record);
    else
      ++failed[record.task];
  }
  // In the documents' order, so that runs made in several sittings give the same sums.
  const auto number = [](const Record* record) {
    return std::pair(record->document.size(), std::string_view(record->document));
  };
  std::vector<TaskResult> results;
  for (const TaskSpec* task : tasks) {
    Records& own = by_task[task->name];
    std::sort(own.begin(), own.end(),
              [&](const Record* a, const Record* b) { return number(a) < number(b); });
    results.push_back(result_of(model, *task, own, failed[task->name], options));
  }
  const std::size_t count = results.size();
  for (const TaskGroup* group : groups) {
    std::vector<const TaskResult*> parts;
    for (const std::string& name : group->tasks) {
      const auto found = std::find_if(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(count),
                                      [&](const TaskResult& result) { return result.name == name; });
      if (found != results.begin() + static_cast<std::ptrdiff_t>(count) && found->documents > 0)
        parts.push_back(&*found);
    }
    if (parts.empty() || parts.size() < group->tasks.size()) continue;
    TaskResult result;
    result.model = model.label;
    result.windowing = model.windowing;
    result.name = group->name;
    result.alias = group->alias;
    result.group = group;
    result.shots = options.shots;
    for (const TaskResult* part : parts) {
      result.documents += part->documents;
      result.failed += part->failed;
    }
    for (const std::string& metric : group_metrics(*group, parts)) {
      std::vector<GroupPart> values;
      std::vector<std::vector<RatioTerm>> strata;
      for (const TaskResult* part : parts) {
        const std::string own = group->measures.empty() ? metric : group->measures.at(part->name);
        const TaskFigure* figure = figure_named(*part, own);
        if (!figure) continue;
        values.push_back({figure->value, figure->error, part->documents});
        strata.push_back(metric_terms(by_task[part->name], own));
      }
      if (values.size() != parts.size()) continue;
      TaskFigure figure;
      figure.metric = metric;
      figure.value = group_mean(values, group->weighted);
      if (group->weighted) figure.error = group_error(values);
      const Estimate estimate = group->weighted ? pooled_estimate(strata, 0.95, options.seed)
                                                : macro_estimate(strata, 0.95, options.seed);
      figure.interval = bounded("acc", estimate.interval);
      result.figures.push_back(std::move(figure));
    }
    results.push_back(std::move(result));
  }
  return results;
}

Table task_table(std::span<const TaskResult> results) {
  constexpr const char* kDash = "–";
  const auto number = [&](double value) {
    return std::isfinite(value) ? Cell{fmt::format("{:.4f}", value), fmt::format("{}", value)}
                                : Cell{kDash, "null"};
  };
  const auto count = [](std::size_t value) {
    return Cell{fmt::format("{}", value), fmt::format("{}", value)};
  };
  bool several_models = false, several_windows = false, any_failed = false;
  for (const TaskResult& result : results) {
    several_models = several_models || result.model != results[0].model;
    several_windows = several_windows || result.windowing != results[0].windowing;
    any_failed = any_failed || result.failed > 0;
  }
  Table table;
  table.columns = {{"task", "task", false, false},
                   {"model", "model", false, !several_models},
                   {"window", "window", false, !several_windows},
                   {"version", "version", false, true},
                   {"shots", "shots", true, true},
                   {"docs", "documents", true, false},
                   {"failed", "failed", true, !any_failed},
                   {"metric", "metric", false, false},
                   {"value", "value", true, false},
                   {"± stderr", "standard_error", true, false},
                   {"95 % interval", "interval", false, false},
                   {"low", "interval_low", true, true},
                   {"high", "interval_high", true, true},
                   {"clusters", "clusters", true, true}};
  bool clustered = false;
  for (const TaskResult& result : results) {
    clustered = clustered || result.clusters > 0;
    const std::string name =
        result.group ? fmt::format("{} (mean of {})", result.name, result.group->tasks.size()) : result.name;
    bool first = true;
    for (const TaskFigure& figure : result.figures) {
      const auto& interval = figure.interval;
      // People see a task's name once, machines in every row.
      table.rows.push_back(
          {{first ? name : "", fmt::format("\"{}\"", result.name)},
           {result.model, ""},
           {result.windowing, ""},
           {result.version, ""},
           count(result.shots),
           count(result.documents),
           count(result.failed),
           {figure.metric, ""},
           number(figure.value),
           figure.error ? number(*figure.error) : Cell{kDash, "null"},
           {interval ? fmt::format("{:.4f} … {:.4f}", interval->low, interval->high) : kDash, ""},
           number(interval ? interval->low : NAN),
           number(interval ? interval->high : NAN),
           count(result.clusters)});
      first = false;
    }
  }
  table.notes.push_back("± stderr: as lm-evaluation-harness has it; the interval: bootstrap over documents" +
                        std::string(clustered ? ", those of one passage together" : ""));
  return table;
}

}  // namespace deciban
