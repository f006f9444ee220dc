#include "cli/bench.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <stdexcept>
#include <string_view>

#include "bench/child.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/suggest.h"
#include "engine/cuda_module.h"
#include "engine/device.h"
#include "reports/cost_table.h"

namespace deciban {
namespace {

constexpr std::size_t kLongest = std::size_t{1} << 24;

std::size_t parse_length(std::string_view word) {
  std::size_t value = 0;
  std::string_view digits = word;
  std::size_t factor = 1;
  if (digits.ends_with("k") || digits.ends_with("M")) {
    factor = digits.back() == 'k' ? 1024 : 1024 * 1024;
    digits.remove_suffix(1);
  }
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || value == 0 ||
      value > kLongest / factor) {
    throw std::invalid_argument(
        fmt::format("'{}' is no number of tokens from 1 to {} (like 512, 64k or 1M)", word, kLongest));
  }
  return value * factor;
}

std::vector<std::string> split(const std::string& word) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= word.size();) {
    const std::size_t comma = std::min(word.find(',', begin), word.size());
    parts.push_back(word.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return parts;
}

// What a preset stands for where nothing else was said.
struct Preset {
  std::string_view name, what;
  std::vector<std::string> models;
  std::string_view lengths;
  std::size_t generate;
};
// Fig. 7 ends at 1000 tokens, which GPT-2 can still read.
constexpr std::string_view kPaperLengths = "64,125,250,500,1000";
const std::array<Preset, 3>& presets() {
  static const std::array<Preset, 3> all{{
      {"rwkv-paper",
       "Fig. 7, 13 and 14 of the RWKV paper on shapes of about 160 M parameters",
       {"random:rwkv4-169m", "random:rwkv7-0.1b", "random:pythia-160m", "random:opt-125m", "random:gpt2"},
       kPaperLengths,
       1000},
      {"rwkv-paper-1.5b",
       "the same at about 1.5 G parameters",
       {"random:rwkv4-1.5b", "random:rwkv7-1.5b", "random:pythia-1.4b", "random:opt-1.3b",
        "random:bloom-1b7"},
       kPaperLengths,
       1000},
      {"rwkv-paper-3b",
       "the same at about 3 G parameters",
       {"random:rwkv4-3b", "random:rwkv7-2.9b", "random:pythia-2.8b", "random:opt-2.7b", "random:bloom-3b"},
       kPaperLengths,
       1000},
  }};
  return all;
}

const Preset& find_preset(const std::string& name) {
  std::vector<std::string> names;
  for (const Preset& preset : presets()) {
    if (preset.name == name) return preset;
    names.emplace_back(preset.name);
  }
  throw std::invalid_argument(fmt::format("unknown preset '{}'{}", name, did_you_mean(name, names)));
}

// The cards of a device word by name, before the CPU's; empty where nothing runs on one.
std::string cards_of(const std::string& device) {
  const DeviceWord word = parse_device(device);
  if (word.kind == DeviceWord::Kind::cpu) return {};
  if (word.kind == DeviceWord::Kind::automatic && !cuda_available()) return {};
  const std::vector<CudaDevice> cards = cuda_devices();
  std::string names;
  for (const int index : word.indices.empty() ? std::vector<int>{0} : word.indices) {
    if (static_cast<std::size_t>(index) < cards.size())
      names += cards[static_cast<std::size_t>(index)].name + "; ";
  }
  return names;
}

void say_progress(const Console& console, const CostPoint& point, std::size_t done, std::size_t all) {
  const auto step = point.metrics.find("step_seconds");
  const auto prefill = point.metrics.find("prefill_seconds");
  std::string what = point.status == "ok" ? "" : point.status + ": " + point.reason;
  if (point.status == "ok" && prefill != point.metrics.end())
    what = fmt::format("prefill {}", show_seconds(prefill->second.value));
  if (point.status == "ok" && step != point.metrics.end())
    what += fmt::format(", step {}", show_seconds(step->second.value));
  console.note(fmt::format("[{}/{}] {}  T = {}{}  {}", done, all, point.model, point.length,
                           point.batch > 1 ? fmt::format(" ×{}", point.batch) : "", what));
}

}  // namespace

std::vector<std::size_t> parse_lengths(const std::string& word) {
  std::vector<std::size_t> lengths;
  for (const std::string& part : split(word)) {
    const std::size_t dots = part.find("..");
    if (dots == std::string::npos) {
      lengths.push_back(parse_length(part));
      continue;
    }
    const std::size_t first = parse_length(std::string_view(part).substr(0, dots)),
                      last = parse_length(std::string_view(part).substr(dots + 2));
    if (first > last) throw std::invalid_argument(fmt::format("'{}' runs backwards", part));
    for (std::size_t length = first; length <= last; length *= 2) lengths.push_back(length);
  }
  return lengths;
}

int bench(const BenchOptions& words, const Console& console, MeasurePoint measure) {
  if (words.point) return answer_point();
  SweepOptions options;
  options.generate = words.generate;
  std::vector<std::string> models = words.models;
  std::string lengths = words.lengths;
  if (!words.preset.empty()) {
    const Preset& preset = find_preset(words.preset);
    if (models.empty()) models = preset.models;
    if (lengths.empty()) lengths = preset.lengths;
    options.generate = preset.generate;
  }
  if (models.empty())
    throw std::invalid_argument("which model? name one with -m, for example -m random:rwkv7-0.1b");
  if (words.labels.size() > models.size())
    throw std::invalid_argument(fmt::format("{} labels for {} models", words.labels.size(), models.size()));
  for (std::size_t i = 0; i < models.size(); ++i)
    options.models.push_back({models[i], i < words.labels.size() ? words.labels[i] : ""});
  options.lengths = parse_lengths(lengths.empty() ? "256..4096" : lengths);
  options.batches = parse_lengths(words.batches.empty() ? "1" : words.batches);
  if (!(words.noise > 0) || !(words.limit_seconds > 0) || words.least_seconds < 0 || words.least_runs == 0)
    throw std::invalid_argument("--noise, --time-limit and --min-runs must be above 0");
  options.model_options.device = words.device;
  options.model_options.format = words.mode;
  options.model_options.tokenizer = words.tokenizer;
  options.model_options.threads = words.threads;
  options.model_options.deterministic = words.deterministic;
  options.goal = {words.least_runs, words.least_seconds, words.noise / 100, words.limit_seconds};
  const Machine machine = this_machine();
  options.machine = fmt::format("{}{}, {} CPUs", cards_of(words.device), machine.cpu, machine.cpus);
  catch_interrupts();
  options.stop = &interrupted();
  for (const SweepModel& model : options.models) check_model(model.spec, options.model_options);

  const std::string output = words.output.empty() ? fmt::format("runs/bench-{}", local_date()) : words.output;
  CostFile file(output);
  if (!measure) {
    const std::vector<std::string> command{this_program(), "bench", "--point"};
    measure = [&, command](const PointRequest& request) {
      return measure_in_child(request, command, options.load_seconds, options.stop);
    };
  }
  const SweepSummary summary =
      sweep(options, file, measure, [&](const CostPoint& point, std::size_t done, std::size_t all) {
        say_progress(console, point, done, all);
      });
  if (summary.resumed > 0) console.note(fmt::format("{} points were there already", summary.resumed));
  constexpr std::array<std::string_view, 6> kLeastImportant{
      "device_bytes", "workspace_bytes", "batch", "generation_seconds", "step_p99_seconds", "weights_bytes"};
  if (!summary.points.empty()) {
    console.show(cost_table(summary.points), kLeastImportant);
    if (!console.one_table_only()) {
      const Table growth = growth_table(summary.points, words.seed);
      constexpr std::array<std::string_view, 4> kLeastOfLaws{"c", "b", "a", "held_out_error"};
      if (!growth.rows.empty()) console.show(growth, kLeastOfLaws);
      const Table crossings = crossover_table(summary.points, words.seed);
      if (!crossings.rows.empty()) console.show(crossings);
    }
  }
  if (summary.interrupted) {
    console.note(fmt::format("interrupted; the same command goes on from {}/costs.jsonl", output));
    return kInterrupted;
  }
  console.note(fmt::format("points in {}/costs.jsonl", output));
  return summary.failed > 0 ? kSomeFailed : kDone;
}

}  // namespace deciban
