// A baseline of speed: each case's timings beside what the machine that made them could do at best, so that
// kernels can be compared with themselves on another day or another machine.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "bench/gate_ab.h"
#include "reports/speed_verdict.h"

namespace deciban {

struct BaselineCase {
  std::string name;
  double roof_seconds = 0;      // what the call must take at least on that machine
  double roof_uncertainty = 0;  // share by which two measurements of the roof differed
  std::vector<double> seconds;  // a sample a round
};

struct Baseline {
  std::string cpu, commit, date;
  int threads = 1;
  std::vector<BaselineCase> cases;
};

std::string to_json(const Baseline& baseline);
// Throws std::runtime_error naming the file and the field that is missing or wrong.
Baseline read_baseline(const std::filesystem::path& path);
Baseline parse_baseline(const std::string& text, const std::string& source);

// Measures the machine's roofline, the cases, and the roofline again.  `measure` takes the rounds of all
// cases of one side.  Only cases of the CPU have a roofline.
Baseline measure_baseline(const std::vector<std::string>& names, int threads,
                          const std::function<RoundsResult()>& measure, bool& interrupted);

// The cases of both, ready to be judged: the old timings as they would be on the machine of the new ones.
// What the rooflines are unsure of is added to the least effect; on another CPU that effect is `far_effect`
// at least.
struct BaselineComparison {
  std::vector<SpeedSamples> cases;
  std::vector<std::string> missing;  // in the old one only
  bool same_machine = false;
};
BaselineComparison compare_baselines(const Baseline& before, const Baseline& after, double effect,
                                     double far_effect = 0.3);

}  // namespace deciban
