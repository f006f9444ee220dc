// deciban gate: has a change made kernels slower or wrong?  Exit code 4 only on evidence.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/gate_ab.h"
#include "cli/console.h"
#include "reports/gate_history.h"

namespace deciban {

// Where results go besides the table, as words.
struct GateOutput {
  std::string junit, summary, annotations = "none", history;
  bool github_summary = false;
};

// What `gate ab`, `record` and `check` measure, and how sure they must be.
struct GateSpeedOptions {
  std::string cases;             // regular expression
  std::vector<std::string> isa;  // kernel tables, or "all"; empty: the best
  std::string device = "cpu";
  int rounds = 30, threads = 1;
  double effect = 5, alarms = 1;  // per cent
  double batch_milliseconds = 0.5;
  std::uint64_t seed = 1;
  std::string samples;  // folder for both sides' timings as Google Benchmark JSON
};

struct GateAbOptions {
  std::string before, after;  // programs, or files of Google Benchmark JSON
  GateSpeedOptions speed;
  GateOutput output;
};

struct GateBaselineOptions {
  std::string file;
  bool replace = false;  // record: an old file may be overwritten
  GateSpeedOptions speed;
  GateOutput output;
};

// Each returns the exit code, and throws std::invalid_argument for options that make no sense and
// std::runtime_error for what fails.
int gate_ab(const GateAbOptions& options, const Console& console);
int gate_record(const GateBaselineOptions& options, const Console& console);
int gate_check(const GateBaselineOptions& options, const Console& console);

// The parts that they share.
void check_speed_options(const GateSpeedOptions& options);
RoundOptions round_options(const GateSpeedOptions& options);
// The places that cases run in: kernel tables of this CPU, or the device.
std::vector<std::string> gate_places(const GateSpeedOptions& options);
// Shows the tables, writes every output asked for, and returns kDone or kRegression.  `run` says what was
// held against what, and its figures, for the history; the rest of it is filled in.
int finish_gate(const std::vector<GateCheck>& checks, const std::vector<Table>& tables,
                const std::string& title, GateRun run, const GateOutput& output, const Console& console);
void check_output_options(const GateOutput& output);

}  // namespace deciban
