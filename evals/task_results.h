// Records of tasks → figures with the harness's standard errors and our intervals; groups' means.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evals/task_spec.h"
#include "reports/record.h"
#include "reports/statistics.h"
#include "reports/table.h"

namespace deciban {

struct TaskFigure {
  std::string metric;
  double value = 0;                  // NaN where there is nothing to divide by
  std::optional<double> error;       // the harness's standard error
  std::optional<Interval> interval;  // 95 %, ours, over documents or clusters of them
};

struct TaskResult {
  std::string model, windowing, name, alias, version;
  const TaskGroup* group = nullptr;  // it is a group's mean
  std::size_t shots = 0;
  std::size_t documents = 0, failed = 0;  // scored; not scored
  std::size_t clusters = 0;               // as many groups of documents share a passage; 0: none do
  std::vector<TaskFigure> figures;
};

// What was run of a model.
struct TaskModel {
  std::string label, windowing;
};

struct TaskReportOptions {
  TaskMode mode = TaskMode::lm_eval;
  std::size_t shots = 0;
  std::uint64_t seed = 1;          // of the intervals
  std::size_t resamples = 100000;  // for the standard error of perplexities
};

// A model's results of every task, in the tasks' order, and then of every group of which all tasks are there.
// Records of other tasks, models and windowings are ignored.
std::vector<TaskResult> task_results(std::span<const Record> records, const TaskModel& model,
                                     std::span<const TaskSpec* const> tasks,
                                     std::span<const TaskGroup* const> groups,
                                     const TaskReportOptions& options);

// A row for each figure.
Table task_table(std::span<const TaskResult> results);

}  // namespace deciban
