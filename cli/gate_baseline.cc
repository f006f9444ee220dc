#include "bench/gate_baseline.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "bench/child.h"
#include "cli/gate.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "deciban_version.h"

namespace deciban {
namespace {

void check_options(const GateBaselineOptions& options) {
  if (options.file.empty()) throw std::invalid_argument("which baseline? name its file");
  check_speed_options(options.speed);
  check_output_options(options.output);
  if (options.speed.device != "cpu")
    throw std::invalid_argument("a baseline is a share of the CPU's roofline; for devices use gate ab");
}

// This program's cases on this machine now.
Baseline measure(const std::vector<std::string>& names, const GateSpeedOptions& speed, const Console& console,
                 bool& stopped) {
  catch_interrupts();
  const RoundOptions rounds = round_options(speed);
  const std::string program = this_program();
  console.note(fmt::format("{} cases, {} rounds, and the machine's roofline before and after", names.size(),
                           rounds.rounds));
  Baseline baseline = measure_baseline(
      names, speed.threads,
      [&] {
        return take_rounds(
            names, 1,
            [&](std::size_t, std::uint64_t draw) {
              return process_timer(program, speed.threads, draw, rounds.stop);
            },
            rounds, [&](int round, int all) { console.detail(fmt::format("round {} of {}", round, all)); });
      },
      stopped);
  baseline.cpu = this_machine().cpu;
  baseline.commit = DECIBAN_COMMIT;
  baseline.date = utc_now();
  return baseline;
}

}  // namespace

int gate_record(const GateBaselineOptions& options, const Console& console) {
  check_options(options);
  if (std::filesystem::exists(options.file) && !options.replace)
    throw std::runtime_error(fmt::format("{} is there already; --replace overwrites it", options.file));
  bool stopped = false;
  const Baseline baseline = measure(gate_case_names(gate_places(options.speed), options.speed.cases),
                                    options.speed, console, stopped);
  if (stopped) {
    console.note("interrupted: nothing was written");
    return kInterrupted;
  }
  std::ofstream file(options.file, std::ios::binary);
  file << to_json(baseline);
  file.close();
  if (!file) throw std::runtime_error(fmt::format("{}: cannot be written", options.file));
  console.note(fmt::format("{} cases of {} in {}", baseline.cases.size(), baseline.cpu, options.file));
  return kDone;
}

int gate_check(const GateBaselineOptions& options, const Console& console) {
  check_options(options);
  const Baseline before = read_baseline(options.file);
  GateSpeedOptions speed = options.speed;
  speed.threads = before.threads;
  // The baseline's cases that match and that this machine can run.
  if (speed.isa.empty()) speed.isa = {"all"};
  Baseline wanted = before;
  wanted.cases.clear();
  std::vector<std::string> names;
  const std::vector<std::string> here = gate_case_names(gate_places(speed), speed.cases);
  for (const BaselineCase& c : before.cases) {
    if (std::find(here.begin(), here.end(), c.name) != here.end()) {
      names.push_back(c.name);
      wanted.cases.push_back(c);
    }
  }
  if (names.empty())
    throw std::runtime_error(
        fmt::format("{}: none of its {} cases can be measured here{}", options.file, before.cases.size(),
                    speed.cases.empty() ? "" : fmt::format(" and matches '{}'", speed.cases)));
  if (speed.cases.empty() && names.size() < before.cases.size())
    console.warn(fmt::format("{} of the baseline's {} cases cannot be measured here",
                             before.cases.size() - names.size(), before.cases.size()));
  if (const std::string cpu = this_machine().cpu; cpu != before.cpu)
    console.warn(fmt::format(
        "the baseline is of another machine ({}; this is {}): only shares of the roofline more than "
        "30 % worse count",
        before.cpu, cpu));
  bool stopped = false;
  const Baseline after = measure(names, speed, console, stopped);
  if (stopped) {
    console.note("interrupted: no verdict");
    return kInterrupted;
  }
  const BaselineComparison comparison = compare_baselines(wanted, after, speed.effect / 100);
  const auto results = judge_speed(comparison.cases, {speed.effect / 100, speed.alarms / 100});
  GateRun run;
  run.kind = "speed";
  run.base = {options.file, before.commit};
  run.other = {"this build", after.commit};
  run.figures = speed_figures(results);
  return finish_gate(checks_of(results), {speed_table(results)},
                     fmt::format("speed against {}", before.commit), std::move(run), options.output, console);
}

}  // namespace deciban
