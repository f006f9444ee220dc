// What running a model costs at one length: a point of a sweep, one JSON object a line in costs.jsonl.
// Points are records: what has one is not measured again, so interrupted sweeps go on, and files of several
// sweeps are joined with `cat`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "reports/line_file.h"

namespace deciban {

// A measured quantity: the median of its samples and the distribution-free 95 % interval of that median
// (order statistics); low == high == value for what is counted and not timed.
struct CostValue {
  double value = 0, low = 0, high = 0;
  std::uint64_t samples = 1;
  friend bool operator==(const CostValue&, const CostValue&) = default;
};

// Metrics by name; the unit is the name's last word.  Those that `deciban bench` measures:
//   prefill_seconds             time to first token: reading `length` tokens at once, the last one's logits
//   step_seconds                one more token for each of `batch` sequences that have read `length`; median
//   step_p99_seconds            the 99th percentile of the same
//   generation_seconds          generating the first `length` tokens one after the other, from nothing
//   prefill_tokens_per_second, step_tokens_per_second, prefill_bytes_per_second (of text)
//   weights_bytes, cache_bytes, workspace_bytes   as the model accounts for them: parameters; recurrent
//   states or
//                               KV cache; activations and scratch
//   resident_bytes              most memory of the process (VmHWM) that measured this point and nothing else
//   device_bytes                of the accelerator's memory, as its driver sees it, the context included
//   device_taken_bytes          by how much its free memory (cudaMemGetInfo) fell since the model was opened,
//   device_accounted_bytes      and what the model accounted for when that was most
//   load_seconds, step_joules, clock_hertz
struct CostPoint {
  std::string key;             // SHA-256 of everything it depends on; equal key, equal question
  std::string kind = "model";  // "model": a whole model; "mixer": one layer's sequence mixer
  std::string model;           // name for people
  std::string spec;            // as given to open_model(); of a mixer its name
  std::string family;
  std::string device, format, kernels, machine;
  int threads = 1;
  std::uint64_t parameters = 0;
  std::size_t width = 0;   // of a mixer: d
  std::size_t length = 0;  // T, tokens
  std::size_t batch = 1;
  // "ok"; else a marked point: "limit" (longer than the model can read), "memory", "time", "failed"
  std::string status = "ok";
  std::string reason;              // why, in words
  std::vector<std::string> unmet;  // conditions that a good measurement asks for and this one missed
  std::map<std::string, CostValue> metrics;
  std::string measured;  // when, UTC
  friend bool operator==(const CostPoint&, const CostPoint&) = default;
};

std::string to_json_line(const CostPoint& point);
// Throws std::runtime_error naming the field that is missing or wrong.
CostPoint cost_from_json(const std::string& line);

// All points under the given run directories or files, in order; of points with one key the last ok one wins,
// else the last.  Throws std::runtime_error naming file and line; directories without costs.jsonl give none.
std::vector<CostPoint> read_costs(const std::vector<std::filesystem::path>& paths);

// A sweep's points on disk.  Makes the directory if there is none, and refuses one that another process
// writes to.
class CostFile {
 public:
  explicit CostFile(const std::filesystem::path& directory);
  const std::vector<CostPoint>& points() const { return points_; }
  // Null if there is none that need not be measured again: an ok one or one with its limit, memory or time
  // exceeded (failed ones are tried again).
  const CostPoint* find(const std::string& key) const;
  void append(const CostPoint& point);

 private:
  OpenFile lock_;
  LineFile lines_;
  std::vector<CostPoint> points_;
};

}  // namespace deciban
