#include "cli/bench_mixers.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <map>
#include <new>
#include <set>
#include <stdexcept>

#include "bench/mixers/mixer.h"
#include "cli/bench.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/suggest.h"
#include "deciban_version.h"
#include "engine/checkpoint.h"
#include "reports/cost_table.h"
#include "reports/growth.h"

namespace deciban {
namespace {

constexpr const char* kTime = "mix_seconds";
constexpr const char* kMemory = "memory_bytes";

std::vector<const MixerEntry*> chosen(const std::vector<std::string>& only) {
  std::vector<std::string> names;
  for (const MixerEntry& entry : mixer_table()) names.emplace_back(entry.name);
  for (const std::string& word : only) {
    if (std::find(names.begin(), names.end(), word) == names.end())
      throw std::invalid_argument(fmt::format("unknown mixer '{}'{}; there are {}", word,
                                              did_you_mean(word, names), fmt::join(names, ", ")));
  }
  std::vector<const MixerEntry*> entries;
  for (const MixerEntry& entry : mixer_table()) {
    if (only.empty() || std::find(only.begin(), only.end(), entry.name) != only.end())
      entries.push_back(&entry);
  }
  return entries;
}

std::vector<GrowthPoint> values_of(const std::vector<CostPoint>& points, std::string_view mixer,
                                   std::size_t width, std::string_view metric) {
  std::vector<GrowthPoint> values;
  for (const CostPoint& p : points) {
    const auto value = p.metrics.find(std::string(metric));
    if (p.spec != mixer || p.width != width || p.status != "ok" || value == p.metrics.end()) continue;
    constexpr double kIntervalOfSigma = 2 * 1.959964;
    const CostValue& v = value->second;
    // One run has no interval; it is known no better than others of its kind.
    constexpr double kSingleRun = 0.03;
    const double noise =
        metric == kTime && v.samples == 1 ? kSingleRun : (v.high - v.low) / kIntervalOfSigma / v.value;
    values.push_back({static_cast<double>(p.length), v.value, noise});
  }
  return values;
}

// Whether somebody else used the processor: laws of such times would be theirs.
bool too_noisy(const std::vector<GrowthPoint>& values) {
  constexpr double kMost = 0.1;  // standard error
  return std::any_of(values.begin(), values.end(), [](const GrowthPoint& p) { return p.noise > kMost; });
}

// What was found beside what the paper says, in words.
std::string compare(const GrowthVerdict& found, std::string_view paper) {
  if (found.law) return name(*found.law) == paper ? "agrees" : "differs";
  const bool possible = std::any_of(found.possible.begin(), found.possible.end(),
                                    [&](GrowthLaw law) { return name(law) == paper; });
  if (found.possible.empty()) return "–";
  return possible ? "not refuted" : "differs";
}

// "T log T or T²" fits a column; "not distinguishable" is said below.
std::string short_words(const GrowthVerdict& verdict) {
  if (verdict.law) return std::string(name(*verdict.law));
  std::string words;
  for (const GrowthLaw law : verdict.possible)
    words += fmt::format("{}{}", words.empty() ? "" : " or ", name(law));
  return words.empty() ? "too few lengths" : words + " ?";
}

Cell text(std::string words) { return {std::move(words), ""}; }

}  // namespace

std::string mixer_point_key(const MixerRequest& r) {
  const std::string identity = fmt::format("mixer\n{}\n{}\n{}\n{}\n{}\n{}", r.name, r.length, r.width,
                                           mixer_isa(), r.machine, DECIBAN_VERSION " " DECIBAN_COMMIT);
  return sha256_hex(std::as_bytes(std::span(identity)));
}

CostPoint measure_mixer(const MixerRequest& request, const CostPoint* before) {
  CostPoint point;
  point.key = mixer_point_key(request);
  point.kind = "mixer";
  point.model = std::string(find_mixer(request.name).title);
  point.spec = point.family = request.name;
  point.device = "cpu";
  point.format = "f32";
  point.kernels = mixer_isa();
  point.machine = request.machine;
  point.threads = 1;
  point.length = request.length;
  point.width = request.width;
  point.measured = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  if (before && before->status != "ok") {
    point.status = before->status;
    point.reason = fmt::format("not tried: {} tokens were too many ({})", before->length, before->reason);
    return point;
  }
  if (before) {
    // No mixer grows slower than linearly, so a run that by that alone passes the limit need not be tried.
    const double expected = before->metrics.at(kTime).value * static_cast<double>(request.length) /
                            static_cast<double>(before->length);
    if (expected > request.longest_run) {
      point.status = "time";
      point.reason = fmt::format("not tried: one run would take more than {:.0f} s", request.longest_run);
      return point;
    }
  }
  try {
    const auto mixer = make_mixer(request.name);
    mixer->prepare(request.length, request.width, 1);
    const auto run = [&]() -> std::vector<double> {
      const double start = steady_seconds();
      mixer->run();
      return {steady_seconds() - start};
    };
    const CostValue seconds = median_of(sample(run, request.goal, "time", point.unmet, steady_seconds));
    const double tokens = static_cast<double>(request.length),
                 bytes = static_cast<double>(mixer->memory_bytes());
    point.metrics[kTime] = seconds;
    point.metrics["mix_tokens_per_second"] = {tokens / seconds.value, tokens / seconds.high,
                                              tokens / seconds.low, seconds.samples};
    point.metrics[kMemory] = {bytes, bytes, bytes, 1};
  } catch (const std::bad_alloc&) {
    point.status = "memory";
    point.reason = "not enough memory";
  }
  return point;
}

Table mixer_cost_table(const std::vector<CostPoint>& points) {
  Table table;
  table.columns = {{"mixer", "mixer", false},
                   {"d", "width"},
                   {"T", "length"},
                   {"time", kTime},
                   {"tok/s", "tokens_per_second"},
                   {"memory", kMemory},
                   {"low", "mix_seconds_low", true, true},
                   {"high", "mix_seconds_high", true, true},
                   {"status", "status", false, true}};
  for (const CostPoint& p : points) {
    const auto find = [&](std::string_view metric) {
      const auto found = p.metrics.find(std::string(metric));
      return found == p.metrics.end() ? nullptr : &found->second;
    };
    const CostValue *time = find(kTime), *rate = find("mix_tokens_per_second"), *memory = find(kMemory);
    const auto cell = [](const CostValue* v, std::string shown) {
      return v ? Cell{std::move(shown), fmt::format("{}", v->value)} : Cell{"–", "null"};
    };
    table.rows.push_back({text(p.model),
                          {fmt::format("{}", p.width), fmt::format("{}", p.width)},
                          {fmt::format("{}", p.length), fmt::format("{}", p.length)},
                          time ? Cell{fmt::format("{} ±{:.1f} %", show_seconds(time->value),
                                                  50 * (time->high - time->low) / time->value),
                                      fmt::format("{}", time->value)}
                               : Cell{p.status == "time"     ? "no time"
                                      : p.status == "memory" ? "no memory"
                                                             : "failed",
                                      "null"},
                          cell(rate, rate ? show_count(rate->value) : ""),
                          cell(memory, memory ? show_bytes(memory->value) : ""),
                          {"", time ? fmt::format("{}", time->low) : "null"},
                          {"", time ? fmt::format("{}", time->high) : "null"},
                          text(p.status)});
    if (!p.reason.empty())
      table.notes.push_back(fmt::format("{}, d = {}, T = {}: {}", p.model, p.width, p.length, p.reason));
    for (const std::string& unmet : p.unmet)
      table.notes.push_back(fmt::format("{}, d = {}, T = {}, {}", p.model, p.width, p.length, unmet));
  }
  return table;
}

Table mixer_laws_table(const std::vector<CostPoint>& points, std::uint64_t seed) {
  Table table;
  table.columns = {{"mixer", "mixer", false},
                   {"paper's time", "paper_time", false},
                   {"time in T", "time_law", false},
                   {"", "time_verdict", false},
                   {"slope", "time_exponent"},
                   {"in d", "width_exponent"},
                   {"paper's space", "paper_space", false},
                   {"memory in T", "memory_law", false},
                   {"", "memory_verdict", false},
                   {"source", "source", false, true}};
  std::set<std::size_t> widths;
  for (const CostPoint& p : points) widths.insert(p.width);
  if (widths.empty()) return table;
  const std::size_t widest = *widths.rbegin(), narrowest = *widths.begin();
  bool unclear = false;
  for (const MixerEntry& entry : mixer_table()) {
    const auto times = values_of(points, entry.name, widest, kTime);
    if (times.empty()) continue;
    const GrowthVerdict time = growth_of(times, seed),
                        memory = growth_of(values_of(points, entry.name, widest, kMemory), seed);
    const bool noisy = too_noisy(times);
    unclear = unclear || !time.law || !memory.law;
    // d's power between the narrowest and the widest, at the longest length that both have.
    Cell power = text("–");
    power.value = "null";
    const auto narrow = values_of(points, entry.name, narrowest, kTime);
    if (widest != narrowest) {
      for (auto t = times.rbegin(); t != times.rend(); ++t) {
        const auto same = std::find_if(narrow.begin(), narrow.end(),
                                       [&](const GrowthPoint& n) { return n.length == t->length; });
        if (same == narrow.end()) continue;
        const double value = std::log(t->value / same->value) /
                             std::log(static_cast<double>(widest) / static_cast<double>(narrowest));
        power = {fmt::format("d^{:.2f}", value), fmt::format("{}", value)};
        break;
      }
    }
    table.rows.push_back({text(std::string(entry.title)), text(std::string(entry.time)),
                          text(noisy ? "too noisy to say" : short_words(time)),
                          text(noisy ? "–" : compare(time, entry.time_law)),
                          time.exponent ? Cell{fmt::format("T^{:.2f}", time.exponent->value),
                                               fmt::format("{}", time.exponent->value)}
                                        : Cell{"–", "null"},
                          power, text(std::string(entry.space)), text(short_words(memory)),
                          text(compare(memory, entry.space_law)), text(std::string(entry.source))});
  }
  table.notes = {
      fmt::format(
          "Laws of T at d = {}; slope: of log time over the longest lengths{}. Hyena's and RWKV-7's claims "
          "are their own papers'.",
          widest,
          narrowest == widest
              ? std::string()
              : fmt::format("; in d: from d = {} to {} at the longest length", narrowest, widest)),
      "One thread, f32, mixing alone, heads of 64 channels (so what the paper calls d² in a head is 64 d). "
      "Memory: "
      "scratch and what is looked back at, counted; tiles instead of T × T scores."};
  if (unclear) table.notes.push_back("\"?\": not distinguishable with these lengths and this noise.");
  return table;
}

int bench_mixers(const BenchMixersOptions& words, const Console& console) {
  const std::vector<const MixerEntry*> entries = chosen(words.only);
  std::vector<std::size_t> lengths = parse_lengths(words.lengths.empty() ? "256..4096" : words.lengths),
                           widths = parse_lengths(words.widths.empty() ? "64,256" : words.widths);
  for (auto* list : {&lengths, &widths}) {
    std::sort(list->begin(), list->end());
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
  for (const std::size_t width : widths) {
    if (width % Mixer::kHead != 0)
      throw std::invalid_argument(
          fmt::format("a width of {} is no multiple of {}, a head's channels", width, Mixer::kHead));
  }
  if (!(words.noise > 0) || !(words.limit_seconds > 0) || words.least_seconds < 0 || words.least_runs == 0)
    throw std::invalid_argument("--noise, --time-limit and --min-runs must be above 0");
  const Machine machine = this_machine();
  MixerRequest request;
  request.machine = fmt::format("{}, {} CPUs", machine.cpu, machine.cpus);
  // A single long run is worth more than the repeats of many short ones on a noisy machine.
  constexpr double kRepeating = 0.1;  // share of the limit
  request.goal = {words.least_runs, words.least_seconds, words.noise / 100, words.limit_seconds * kRepeating};
  request.longest_run = words.limit_seconds;
  catch_interrupts();

  const std::string output =
      words.output.empty() ? fmt::format("runs/mixers-{}", local_date()) : words.output;
  CostFile file(output);
  std::vector<CostPoint> points;
  std::map<std::pair<std::string, std::size_t>, CostPoint>
      last;  // by mixer and width: the next shorter length
  const std::size_t all = entries.size() * lengths.size() * widths.size();
  std::size_t resumed = 0;
  bool stopped = false;
  // Mixers take turns at each length, so that a drift of the machine meets all alike.
  for (const std::size_t width : widths) {
    for (const std::size_t length : lengths) {
      for (const MixerEntry* entry : entries) {
        if (interrupted()) {
          stopped = true;
          break;
        }
        request.name = std::string(entry->name);
        request.length = length;
        request.width = width;
        const auto before = last.find({request.name, width});
        CostPoint point;
        if (const CostPoint* known = file.find(mixer_point_key(request))) {
          point = *known;
          ++resumed;
        } else {
          point = measure_mixer(request, before == last.end() ? nullptr : &before->second);
          file.append(point);
        }
        last[{request.name, width}] = point;
        points.push_back(point);
        console.note(
            fmt::format("[{}/{}] {}  d = {}  T = {}  {}", points.size(), all, point.model, width, length,
                        point.status == "ok" ? show_seconds(point.metrics.at(kTime).value) : point.reason));
      }
    }
  }
  if (resumed > 0) console.note(fmt::format("{} points were there already", resumed));
  // By mixer, as the laws are.
  std::stable_sort(points.begin(), points.end(), [&](const CostPoint& a, const CostPoint& b) {
    return &find_mixer(a.spec) < &find_mixer(b.spec);
  });
  if (!points.empty()) {
    if (console.one_table_only()) {
      console.show(mixer_laws_table(points, words.seed));
    } else {
      console.show(mixer_cost_table(points));
      console.show(mixer_laws_table(points, words.seed));
    }
  }
  if (stopped) {
    console.note(fmt::format("interrupted; the same command goes on from {}/costs.jsonl", output));
    return kInterrupted;
  }
  console.note(fmt::format("points in {}/costs.jsonl", output));
  return kDone;
}

}  // namespace deciban
