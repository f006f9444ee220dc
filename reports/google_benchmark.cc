#include "reports/google_benchmark.h"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace deciban {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

double unit_seconds(const std::string& unit) {
  if (unit == "ns") return 1e-9;
  if (unit == "us") return 1e-6;
  if (unit == "ms") return 1e-3;
  if (unit == "s") return 1;
  throw std::runtime_error(fmt::format("unknown time_unit '{}' (known: ns, us, ms, s)", unit));
}

bool by_the_clock(const std::string& name) {
  return name.find("/real_time") != std::string::npos || name.find("/manual_time") != std::string::npos;
}

void read_entry(const json& entry, BenchmarkRun& run) {
  if (entry.value("run_type", "iteration") != "iteration") return;
  const std::string name = entry.contains("run_name") ? entry.at("run_name").get<std::string>()
                                                      : entry.at("name").get<std::string>();
  if (entry.value("error_occurred", false)) {
    run.failed.push_back(name);
    return;
  }
  const double time = entry.at(by_the_clock(name) ? "real_time" : "cpu_time").get<double>() *
                      unit_seconds(entry.value("time_unit", "ns"));
  if (!std::isfinite(time) || time <= 0)
    throw std::runtime_error(fmt::format("'{}' took {} s: it must be finite and above 0", name, time));
  std::vector<double>& seconds = run.seconds[name];
  if (seconds.empty()) run.order.push_back(name);
  seconds.push_back(time);
}

}  // namespace

BenchmarkRun parse_benchmark_json(std::string_view text, const std::string& source) {
  BenchmarkRun run;
  json file;
  try {
    file = json::parse(text);
  } catch (const json::exception& error) {
    throw std::runtime_error(fmt::format("{}: no JSON: {}", source, error.what()));
  }
  const auto list = file.is_object() ? file.find("benchmarks") : file.end();
  if (!file.is_object() || list == file.end() || !list->is_array())
    throw std::runtime_error(
        fmt::format("{}: no list 'benchmarks'; wanted is Google Benchmark's --benchmark_out with "
                    "--benchmark_out_format=json",
                    source));
  if (const auto context = file.find("context"); context != file.end() && context->is_object()) {
    for (const auto& [key, value] : context->items()) {
      if (value.is_string()) run.context[key] = value.get<std::string>();
    }
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    try {
      read_entry(list->at(i), run);
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("{}: benchmarks[{}]: {}", source, i, error.what()));
    }
  }
  if (run.order.empty() && run.failed.empty())
    throw std::runtime_error(fmt::format("{}: holds no timings", source));
  return run;
}

BenchmarkRun read_benchmark_json(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(fmt::format("{}: cannot be read", path.string()));
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  return parse_benchmark_json(text, path.string());
}

bool looks_like_json(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  char first = 0;
  return static_cast<bool>(file >> first) && first == '{';
}

std::string to_benchmark_json(const BenchmarkRun& run) {
  ordered_json context = ordered_json::object(), list = ordered_json::array();
  for (const auto& [key, value] : run.context) context[key] = value;
  for (std::size_t family = 0; family < run.order.size(); ++family) {
    const std::string& name = run.order[family];
    const std::vector<double>& seconds = run.seconds.at(name);
    for (std::size_t i = 0; i < seconds.size(); ++i) {
      list.push_back({{"name", name},
                      {"family_index", family},
                      {"per_family_instance_index", 0},
                      {"run_name", name},
                      {"run_type", "iteration"},
                      {"repetitions", seconds.size()},
                      {"repetition_index", i},
                      {"threads", 1},
                      {"iterations", 1},
                      {"real_time", seconds[i] * 1e9},
                      {"cpu_time", seconds[i] * 1e9},
                      {"time_unit", "ns"}});
    }
  }
  return ordered_json{{"context", std::move(context)}, {"benchmarks", std::move(list)}}.dump(
             1, ' ', false, ordered_json::error_handler_t::replace) +
         "\n";
}

BenchmarkPair compare_runs(const BenchmarkRun& before, const BenchmarkRun& after) {
  const auto rounds = [](const BenchmarkRun& run) {
    const auto at = run.context.find(std::string(kRoundsKey));
    return at == run.context.end() ? std::string() : at->second;
  };
  const bool paired = !rounds(before).empty() && rounds(before) == rounds(after);
  BenchmarkPair result;
  for (const std::string& name : before.order) {
    const auto other = after.seconds.find(name);
    if (other == after.seconds.end()) {
      result.only_before.push_back(name);
      continue;
    }
    const std::vector<double>& old = before.seconds.at(name);
    result.cases.push_back({name, old, other->second, paired && old.size() == other->second.size(), 0});
  }
  for (const std::string& name : after.order) {
    if (!before.seconds.contains(name)) result.only_after.push_back(name);
  }
  return result;
}

}  // namespace deciban
