#include "bench/gate_baseline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "bench/gate_cases.h"
#include "bench/roofline.h"

namespace deciban {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr const char* kFormat = "deciban gate baseline";

double roof_of(const Roofline& roof, const std::string& wanted, int threads) {
  const std::size_t at = wanted.rfind(" @");
  for (const OpCase& c : gate_cases()) {
    if (at != std::string::npos && name(c) == wanted.substr(0, at))
      return roof.seconds(wanted.substr(at + 2), c.mode, flops(c), bytes(c), threads);
  }
  throw std::logic_error("no case is called '" + wanted + "'");
}

double positive(const json& object, const char* key) {
  const double value = object.at(key).get<double>();
  if (!std::isfinite(value) || value <= 0)
    throw std::runtime_error(fmt::format("'{}' is {}: it must be finite and above 0", key, value));
  return value;
}

BaselineCase read_case(const json& object) {
  BaselineCase c;
  c.name = object.at("name").get<std::string>();
  c.roof_seconds = positive(object, "roof_seconds");
  c.roof_uncertainty = object.at("roof_uncertainty").get<double>();
  if (!(c.roof_uncertainty >= 0)) throw std::runtime_error("'roof_uncertainty' is below 0");
  c.seconds = object.at("seconds").get<std::vector<double>>();
  for (const double s : c.seconds) {
    if (!std::isfinite(s) || s <= 0)
      throw std::runtime_error(fmt::format("'seconds' holds {}: timings are finite and above 0", s));
  }
  return c;
}

}  // namespace

std::string to_json(const Baseline& baseline) {
  ordered_json cases = ordered_json::array();
  for (const BaselineCase& c : baseline.cases) {
    std::vector<double> sorted = c.seconds;
    std::sort(sorted.begin(), sorted.end());
    const double share = sorted.empty() ? 0 : c.roof_seconds / sorted[sorted.size() / 2];
    cases.push_back({{"name", c.name},
                     {"roof_seconds", c.roof_seconds},
                     {"roof_uncertainty", c.roof_uncertainty},
                     {"roof_share", share},
                     {"seconds", c.seconds}});
  }
  return ordered_json{{"format", kFormat},         {"version", kVersion},   {"cpu", baseline.cpu},
                      {"commit", baseline.commit}, {"date", baseline.date}, {"threads", baseline.threads},
                      {"cases", std::move(cases)}}
             .dump(1) +
         "\n";
}

Baseline parse_baseline(const std::string& text, const std::string& source) {
  try {
    const json file = json::parse(text);
    if (!file.is_object() || file.value("format", "") != kFormat)
      throw std::runtime_error("no baseline of 'deciban gate record'");
    if (const int version = file.at("version"); version != kVersion)
      throw std::runtime_error(
          fmt::format("version {} where {} is known: record it anew", version, kVersion));
    Baseline baseline;
    baseline.cpu = file.at("cpu").get<std::string>();
    baseline.commit = file.at("commit").get<std::string>();
    baseline.date = file.at("date").get<std::string>();
    baseline.threads = file.at("threads").get<int>();
    for (const json& object : file.at("cases")) baseline.cases.push_back(read_case(object));
    if (baseline.cases.empty()) throw std::runtime_error("holds no cases");
    return baseline;
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("{}: {}", source, error.what()));
  }
}

Baseline read_baseline(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(fmt::format("{}: cannot be read", path.string()));
  return parse_baseline({std::istreambuf_iterator<char>(file), {}}, path.string());
}

Baseline measure_baseline(const std::vector<std::string>& names, int threads,
                          const std::function<RoundsResult()>& measure, bool& interrupted) {
  Baseline baseline;
  baseline.threads = threads;
  const Roofline first(threads);
  RoundsResult rounds = measure();
  interrupted = rounds.interrupted;
  if (interrupted) return baseline;
  const Roofline second(threads);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const double a = roof_of(first, names[i], threads), b = roof_of(second, names[i], threads);
    baseline.cases.push_back({names[i], std::sqrt(a * b), std::max(a, b) / std::min(a, b) - 1,
                              std::move(rounds.cases[i].sides[0])});
  }
  return baseline;
}

BaselineComparison compare_baselines(const Baseline& before, const Baseline& after, double effect,
                                     double far_effect) {
  BaselineComparison result;
  result.same_machine = before.cpu == after.cpu;
  const double floor = result.same_machine ? 0 : std::max(0.0, far_effect - effect);
  for (const BaselineCase& old : before.cases) {
    const auto now = std::find_if(after.cases.begin(), after.cases.end(),
                                  [&](const BaselineCase& c) { return c.name == old.name; });
    if (now == after.cases.end()) {
      result.missing.push_back(old.name);
      continue;
    }
    SpeedSamples samples{old.name, old.seconds, now->seconds, false, 0};
    for (double& s : samples.before) s *= now->roof_seconds / old.roof_seconds;
    samples.extra_effect = floor + old.roof_uncertainty + now->roof_uncertainty;
    result.cases.push_back(std::move(samples));
  }
  return result;
}

}  // namespace deciban
