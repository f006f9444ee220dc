// A sweep: models × batches × lengths, each point in a process of its own, written as it is measured.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "bench/point.h"
#include "reports/cost.h"

namespace deciban {

struct SweepModel {
  std::string spec;
  std::string label;  // empty: the model's own name
};

struct SweepOptions {
  std::vector<SweepModel> models;
  std::vector<std::size_t> lengths, batches{1};
  ModelOptions model_options;
  std::size_t generate = 0;
  SamplingGoal goal;
  std::string machine;
  double load_seconds = 300;  // that opening a model may take beside the goal's limit
  const std::atomic<bool>* stop = nullptr;
};

struct SweepSummary {
  std::size_t measured = 0, resumed = 0, marked = 0, failed = 0;
  bool interrupted = false;
  std::vector<CostPoint> points;  // all of this sweep, in its order
};

// Measures one point; in the program: in a child process.
using MeasurePoint = std::function<CostPoint(const PointRequest&)>;

// Lengths ascend and models take turns at each, so that a drift of the machine meets all alike.  A model that
// ran out of memory or time at one length is not asked for longer ones with this batch: they get the same
// mark.
SweepSummary sweep(
    const SweepOptions& options, CostFile& file, const MeasurePoint& measure,
    const std::function<void(const CostPoint& point, std::size_t done, std::size_t all)>& seen);

// Measures in a child process that runs this program with `command` (which must call answer_point()).  A
// child that is killed for memory, or that hangs, gives a marked point.
CostPoint measure_in_child(const PointRequest& request, const std::vector<std::string>& command,
                           double load_seconds, const std::atomic<bool>* stop);
// The child's side: reads a request from standard input and prints the point.
int answer_point();

}  // namespace deciban
