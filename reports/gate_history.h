// Gates that were run, kept: one JSON object a line in gates.jsonl of a run's directory, so that a report can
// show how speed and correctness went, and a comparison how far two models' distributions are apart.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "reports/cost.h"
#include "reports/gate_report.h"

namespace deciban {

// What was held against what: two builds, a baseline and this build, two models.
struct GateSide {
  std::string name;                  // for people: a program, a baseline's file, a model
  std::string commit;                // of a build; empty: not known
  std::string digest, mode, device;  // of a model: SHA-256, numeric mode, where it was computed
  friend bool operator==(const GateSide&, const GateSide&) = default;
};

struct GateText {
  std::string name, digest;  // corpus; SHA-256
  std::uint64_t documents = 0;
  friend bool operator==(const GateText&, const GateText&) = default;
};

struct GateRun {
  std::string kind;  // "speed", "correctness", "divergence"
  std::string when, version, commit, machine;
  GateSide base, other;  // correctness has none
  std::vector<GateText> texts;
  std::string windowing, start;  // of a divergence
  GateCounts counts;
  std::vector<GateCheck> failed;  // with their messages
  // By name, the unit in it.  Speed: change_percent, whose value is the median of all cases and whose
  // interval goes from the smallest change to the largest.  Divergence (nats a token, base taken for true):
  // kl_nats with its 95 % interval over documents and the number of tokens; kl_p99_nats, kl_max_nats,
  // same_best_percent.
  std::map<std::string, CostValue> figures;
};

std::string to_json_line(const GateRun& run);
// Unknown fields are left alone.  Throws std::runtime_error naming the field that is missing or wrong.
GateRun gate_run_from_json(const std::string& line);

// Appends to DIRECTORY/gates.jsonl, which is made if need be; several gates may end at the same time.  Throws
// std::runtime_error: not writable, or a file that holds something else.
void append_gate(const std::filesystem::path& directory, const GateRun& run);
// Of all these directories, by time.  Directories without gates.jsonl have none, other paths are left alone.
std::vector<GateRun> read_gates(std::span<const std::filesystem::path> paths);

// change_percent of these verdicts; none without any.
std::map<std::string, CostValue> speed_figures(const std::vector<SpeedResult>& results);

// The latest divergence of these two, each named by digest and mode; null if none was kept.
const GateRun* divergence_between(std::span<const GateRun> gates, const GateSide& base,
                                  const GateSide& other);

}  // namespace deciban
