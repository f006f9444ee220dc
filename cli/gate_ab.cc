#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>

#include "cli/gate.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/suggest.h"
#include "deciban_version.h"
#include "reports/google_benchmark.h"

namespace deciban {
namespace {

void write_samples(const std::filesystem::path& folder, const std::string& file, BenchmarkRun run) {
  std::filesystem::create_directories(folder);
  std::ofstream out(folder / file, std::ios::binary);
  out << to_benchmark_json(run);
  out.close();
  if (!out) throw std::runtime_error(fmt::format("{}: cannot be written", (folder / file).string()));
}

// One side's samples in Google Benchmark's form.
BenchmarkRun side_of(const RoundsResult& rounds, std::size_t side, const std::string& program,
                     const std::string& commit, const std::string& id) {
  BenchmarkRun run;
  run.context = {{"date", utc_now()},
                 {"cpu", this_machine().cpu},
                 {"executable", program},
                 {"deciban_commit", commit},
                 {std::string(kRoundsKey), id}};
  for (const CaseSamples& c : rounds.cases) {
    run.order.push_back(c.name);
    run.seconds[c.name] = c.sides[side];
  }
  return run;
}

std::string listed(const std::vector<std::string>& names) {
  std::string words;
  for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 3); ++i)
    words += fmt::format("{}'{}'", i ? ", " : "", names[i]);
  return names.size() > 3 ? fmt::format("{} and {} more", words, names.size() - 3) : words;
}

int judge(const std::vector<SpeedSamples>& samples, const GateAbOptions& options, GateRun run,
          const Console& console) {
  const auto results = judge_speed(samples, {options.speed.effect / 100, options.speed.alarms / 100});
  run.kind = "speed";
  run.figures = speed_figures(results);
  return finish_gate(checks_of(results), {speed_table(results)}, "speed", std::move(run), options.output,
                     console);
}

int compare_files(const GateAbOptions& options, const Console& console) {
  const BenchmarkRun before = read_benchmark_json(options.before), after = read_benchmark_json(options.after);
  const BenchmarkPair comparison = compare_runs(before, after);
  if (comparison.cases.empty())
    throw std::runtime_error(
        fmt::format("{} and {} have no benchmark in common", options.before, options.after));
  if (!comparison.only_before.empty())
    console.warn(fmt::format("only in {}: {}", options.before, listed(comparison.only_before)));
  if (!comparison.only_after.empty())
    console.warn(fmt::format("only in {}: {}", options.after, listed(comparison.only_after)));
  for (const BenchmarkRun* run : {&before, &after}) {
    if (!run->failed.empty())
      console.warn(fmt::format("benchmarks that failed in {}: {}",
                               run == &before ? options.before : options.after, listed(run->failed)));
  }
  if (const std::size_t least =
          least_samples(comparison.cases.size(), comparison.cases.front().paired, options.speed.alarms / 100);
      std::all_of(comparison.cases.begin(), comparison.cases.end(),
                  [&](const SpeedSamples& s) { return std::min(s.before.size(), s.after.size()) < least; })) {
    console.warn(fmt::format("{} cases need {} repetitions each for a verdict: --benchmark_repetitions={}",
                             comparison.cases.size(), least, std::max<std::size_t>(10, least)));
  }
  GateRun run;
  run.base.name = options.before;
  run.other.name = options.after;
  return judge(comparison.cases, options, std::move(run), console);
}

// Cases both builds know, in their order here.
std::vector<std::string> common_cases(const GateAbOptions& options, const Hello& before, const Hello& after,
                                      const Console& console) {
  const std::set<std::string> old_names(before.cases.begin(), before.cases.end()),
      new_names(after.cases.begin(), after.cases.end());
  std::vector<std::string> names, missing;
  for (const std::string& c : gate_case_names(gate_places(options.speed), options.speed.cases)) {
    const bool known = options.speed.device != "cpu" || (old_names.contains(c) && new_names.contains(c));
    (known ? names : missing).push_back(c);
  }
  if (names.empty())
    throw std::runtime_error(fmt::format("{} and {} have no case in common", options.before, options.after));
  if (!missing.empty()) console.warn(fmt::format("not in both builds: {}", listed(missing)));
  return names;
}

int compare_builds(const GateAbOptions& options, const Console& console) {
  catch_interrupts();
  const std::string programs[2] = {options.before, options.after};
  const Hello hellos[2] = {ask_hello(programs[0], &interrupted()), ask_hello(programs[1], &interrupted())};
  const std::vector<std::string> names = common_cases(options, hellos[0], hellos[1], console);
  const RoundOptions rounds = round_options(options.speed);
  if (const std::size_t least = least_samples(names.size(), true, options.speed.alarms / 100);
      static_cast<std::size_t>(rounds.rounds) < least)
    throw std::invalid_argument(fmt::format("--rounds {}: {} cases need at least {} rounds for a verdict",
                                            rounds.rounds, names.size(), least));
  console.note(fmt::format("old: {} ({}), new: {} ({}); {} cases, {} rounds", programs[0], hellos[0].commit,
                           programs[1], hellos[1].commit, names.size(), rounds.rounds));
  const RoundsResult result = take_rounds(
      names, 2,
      [&](std::size_t side, std::uint64_t draw) {
        return process_timer(programs[side], options.speed.threads, draw, rounds.stop);
      },
      rounds, [&](int round, int all) { console.detail(fmt::format("round {} of {}", round, all)); });
  if (result.interrupted) {
    console.note("interrupted: no verdict");
    return kInterrupted;
  }
  if (!options.speed.samples.empty()) {
    const std::string id = fmt::format("{} {} {}", utc_now(), hellos[0].commit, hellos[1].commit);
    write_samples(options.speed.samples, "old.json", side_of(result, 0, programs[0], hellos[0].commit, id));
    write_samples(options.speed.samples, "new.json", side_of(result, 1, programs[1], hellos[1].commit, id));
  }
  std::vector<SpeedSamples> samples;
  for (const CaseSamples& c : result.cases) samples.push_back({c.name, c.sides[0], c.sides[1], true, 0});
  GateRun run;
  run.base = {programs[0], hellos[0].commit};
  run.other = {programs[1], hellos[1].commit};
  return judge(samples, options, std::move(run), console);
}

}  // namespace

void check_speed_options(const GateSpeedOptions& o) {
  if (o.rounds < 1 || o.rounds > 10000)
    throw std::invalid_argument(fmt::format("--rounds {}: from 1 to 10000", o.rounds));
  if (o.threads < 1 || o.threads > 1024)
    throw std::invalid_argument(fmt::format("--threads {}: from 1 to 1024", o.threads));
  if (!(o.effect > 0) || o.effect > 1000)
    throw std::invalid_argument(fmt::format("--min-effect {}: per cent above 0", o.effect));
  if (!(o.alarms > 0) || o.alarms >= 50)
    throw std::invalid_argument(fmt::format("--false-alarms {}: per cent above 0 and below 50", o.alarms));
  if (!(o.batch_milliseconds > 0) || o.batch_milliseconds > 10000)
    throw std::invalid_argument(
        fmt::format("--batch-time {}: milliseconds from 0 to 10000", o.batch_milliseconds));
}

RoundOptions round_options(const GateSpeedOptions& options) {
  RoundOptions rounds;
  rounds.rounds = options.rounds;
  rounds.seed = options.seed;
  rounds.request.batch_seconds = options.batch_milliseconds * 1e-3;
  rounds.stop = &interrupted();
  return rounds;
}

std::vector<std::string> gate_places(const GateSpeedOptions& options) {
  if (options.device != "cpu") {
    if (!options.isa.empty()) throw std::invalid_argument("--isa is for the CPU only");
    return {options.device};
  }
  if (options.isa.empty()) return {usual_kernel_table()};
  const std::vector<std::string> known = kernel_tables();
  if (options.isa == std::vector<std::string>{"all"}) return known;
  for (const std::string& isa : options.isa) {
    if (std::find(known.begin(), known.end(), isa) == known.end()) {
      std::string words;
      for (const std::string& k : known) words += ", " + k;
      throw std::invalid_argument(
          fmt::format("--isa {}: this machine has all{}{}", isa, words, did_you_mean(isa, known)));
    }
  }
  return options.isa;
}

int gate_ab(const GateAbOptions& options, const Console& console) {
  if (options.before.empty() || options.after.empty())
    throw std::invalid_argument("two programs or two files of Google Benchmark JSON are wanted: OLD NEW");
  check_speed_options(options.speed);
  check_output_options(options.output);
  for (const std::string& file : {options.before, options.after}) {
    if (!std::filesystem::is_regular_file(file))
      throw std::runtime_error(fmt::format("{}: no such file", file));
  }
  const bool json = looks_like_json(options.before);
  if (json != looks_like_json(options.after))
    throw std::invalid_argument(
        fmt::format("{} and {}: one is JSON, the other is not", options.before, options.after));
  return json ? compare_files(options, console) : compare_builds(options, console);
}

}  // namespace deciban
