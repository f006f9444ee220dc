#include "bench/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <iostream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <utility>

#include "bench/child.h"

namespace deciban {

SweepSummary sweep(const SweepOptions& options, CostFile& file, const MeasurePoint& measure,
                   const std::function<void(const CostPoint&, std::size_t, std::size_t)>& seen) {
  std::vector<std::size_t> lengths = options.lengths;
  std::sort(lengths.begin(), lengths.end());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  const std::size_t all = options.models.size() * options.batches.size() * lengths.size();
  SweepSummary summary;
  std::map<std::pair<std::size_t, std::size_t>, CostPoint> exceeded;  // by model and batch: the first mark
  for (const std::size_t length : lengths) {
    for (const std::size_t batch : options.batches) {
      for (std::size_t m = 0; m < options.models.size(); ++m) {
        if (options.stop && *options.stop) {
          summary.interrupted = true;
          return summary;
        }
        PointRequest request{options.models[m].spec, options.model_options, length,         batch,
                             options.generate,       options.goal,          options.machine};
        CostPoint point;
        const auto mark = exceeded.find({m, batch});
        if (const CostPoint* known = file.find(point_key(request))) {
          point = *known;
          ++summary.resumed;
        } else if (mark != exceeded.end()) {
          point = mark->second;
          point.key = point_key(request);
          point.length = length;
          point.metrics.clear();
          point.unmet.clear();
          point.reason = fmt::format("not tried: {} tokens were too many ({})", mark->second.length,
                                     mark->second.reason);
          file.append(point);
          ++summary.marked;
        } else {
          point = measure(request);
          if (options.stop && *options.stop) {
            summary.interrupted = true;
            return summary;
          }
          if (!options.models[m].label.empty()) point.model = options.models[m].label;
          file.append(point);
          ++(point.status == "ok"       ? summary.measured
             : point.status == "failed" ? summary.failed
                                        : summary.marked);
        }
        if (point.status == "memory" || point.status == "time" || point.status == "limit")
          exceeded.try_emplace({m, batch}, point);
        summary.points.push_back(point);
        if (seen) seen(point, summary.points.size(), all);
      }
    }
  }
  return summary;
}

CostPoint measure_in_child(const PointRequest& request, const std::vector<std::string>& command,
                           double load_seconds, const std::atomic<bool>* stop) {
  const ChildResult child =
      run_child(command, to_json_line(request) + "\n", request.goal.limit_seconds * 2 + load_seconds, stop);
  CostPoint point = unmeasured_point(request);
  switch (child.end) {
    case ChildResult::End::done:
      try {
        return cost_from_json(child.output);
      } catch (const std::runtime_error& error) {
        point.reason = fmt::format("its process answered with {}", error.what());
      }
      break;
    case ChildResult::End::timed_out:
      point.status = "time";
      point.reason = fmt::format("not done within {:.0f} s", request.goal.limit_seconds * 2 + load_seconds);
      break;
    case ChildResult::End::killed:
      // The kernel kills the largest process when memory runs out.
      if (child.code == SIGKILL) {
        point.status = "memory";
        point.reason = "its process was killed by the system (out of memory)";
      } else {
        point.reason = fmt::format("its process died of signal {} ({})", child.code, ::strsignal(child.code));
      }
      break;
    case ChildResult::End::failed:
      point.reason = fmt::format("its process ended with exit code {}", child.code);
      break;
    case ChildResult::End::interrupted:
      point.reason = "interrupted";
      break;
  }
  return point;
}

int answer_point() {
  std::string line;
  std::getline(std::cin, line);
  std::cout << to_json_line(measure_point(request_from_json(line))) << std::endl;
  return 0;
}

}  // namespace deciban
