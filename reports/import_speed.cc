#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "reports/import.h"

namespace deciban {
namespace {

using nlohmann::json;

double number(const json& object, const char* field, double otherwise) {
  const auto found = object.find(field);
  if (found == object.end() || !found->is_number()) return otherwise;
  const double value = found->get<double>();
  return std::isfinite(value) ? value : otherwise;
}

std::string text(const json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// Median and, of six samples or more, the order statistics that hold it with 95 %; of fewer, their range.
CostValue cost_value(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const std::size_t n = samples.size();
  CostValue value;
  value.value = n % 2 ? samples[n / 2] : (samples[n / 2 - 1] + samples[n / 2]) / 2;
  // The largest k for which P(Binomial(n, 1/2) < k) stays at 2.5 %.
  std::size_t k = 0;
  double below = 0, term = std::pow(0.5, static_cast<double>(n));
  while (k < n / 2 && below + term <= 0.025) {
    below += term;
    ++k;
    term *= static_cast<double>(n - k + 1) / static_cast<double>(k);
  }
  const std::size_t place = k > 0 ? k - 1 : 0;
  value.low = samples[place];
  value.high = samples[n - 1 - place];
  value.samples = n;
  return value;
}

void add_point(Imported& imported, CostPoint point) {
  point.status = "ok";
  point.key = import_key({point.kind, point.model, point.device, point.format, std::to_string(point.threads),
                          std::to_string(point.length), std::to_string(point.batch),
                          point.metrics.empty() ? "" : point.metrics.begin()->first});
  imported.costs.push_back(std::move(point));
}

void add_llama(Imported& imported, const json& entry, const std::string& model) {
  const double prompt = number(entry, "n_prompt", 0), generated = number(entry, "n_gen", 0),
               depth = number(entry, "n_depth", 0);
  const auto whole = [](double value) {
    return value >= 0 && value <= 1e12 ? static_cast<std::size_t>(value) : 0;
  };
  if ((prompt > 0) == (generated > 0)) {
    imported.notes.push_back(
        fmt::format("prompt and generation in one test (pp{:.0f}+tg{:.0f}) is left out", prompt, generated));
    return;
  }
  std::vector<double> seconds;
  const auto samples = entry.find("samples_ns");
  if (samples != entry.end() && samples->is_array()) {
    for (const json& sample : *samples) {
      if (sample.is_number() && sample.get<double>() > 0) seconds.push_back(sample.get<double>() / 1e9);
    }
  }
  if (seconds.empty() && number(entry, "avg_ns", 0) > 0) seconds.push_back(number(entry, "avg_ns", 0) / 1e9);
  if (seconds.empty()) throw std::runtime_error("a test has neither samples_ns nor avg_ns");
  CostPoint point;
  point.model = model.empty() ? text(entry, "model_type") : model;
  if (point.model.empty()) point.model = text(entry, "model_filename");
  point.spec = text(entry, "model_filename");
  point.family = "llama.cpp";
  const bool card = number(entry, "n_gpu_layers", 0) > 0 && !text(entry, "gpu_info").empty();
  point.device = card ? text(entry, "gpu_info") : "cpu";
  point.machine = text(entry, "cpu_info");
  point.threads = static_cast<int>(std::clamp(number(entry, "n_threads", 1), 1.0, 4096.0));
  point.parameters = whole(number(entry, "model_n_params", 0));
  point.measured = text(entry, "test_time");
  if (prompt > 0) {
    point.length = whole(depth + prompt);
    point.metrics["prefill_seconds"] = cost_value(seconds);
    std::vector<double> rates;
    for (const double value : seconds) rates.push_back(prompt / value);
    point.metrics["prefill_tokens_per_second"] = cost_value(rates);
    if (depth > 0) imported.notes.push_back("prefill at a depth is the time of the last tokens only");
  } else {
    point.length = whole(std::max(depth, 1.0));
    std::vector<double> steps, rates;
    for (const double value : seconds) {
      steps.push_back(value / generated);
      rates.push_back(generated / value);
    }
    point.metrics["step_seconds"] = cost_value(steps);
    point.metrics["step_tokens_per_second"] = cost_value(rates);
  }
  add_point(imported, std::move(point));
}

}  // namespace

Imported import_llama_bench(std::string_view content, const std::string& model) {
  Imported imported{"llama-bench", {}, {}, {}, {}};
  const json value = json::parse(content, nullptr, false);
  if (value.is_array()) {
    for (const json& entry : value) {
      if (!entry.is_object()) throw std::runtime_error("a test is not an object");
      add_llama(imported, entry, model);
    }
  } else if (value.is_object()) {
    add_llama(imported, value, model);
  } else {
    while (!content.empty()) {
      const std::size_t end = std::min(content.find('\n'), content.size());
      const json entry = json::parse(content.substr(0, end), nullptr, false);
      if (entry.is_object()) add_llama(imported, entry, model);
      content.remove_prefix(std::min(end + 1, content.size()));
    }
  }
  if (imported.costs.empty()) throw std::runtime_error("there are no tests in it");
  return imported;
}

Imported import_google_benchmark(std::string_view content) {
  const json object = json::parse(content);
  Imported imported{"Google Benchmark", {}, {}, {}, {}};
  struct Group {
    std::vector<double> seconds;
    json first;
  };
  std::map<std::string, Group> groups;
  if (!object["benchmarks"].is_array()) throw std::runtime_error("field 'benchmarks' is not a list");
  for (const json& entry : object["benchmarks"]) {
    if (!entry.is_object() || text(entry, "run_type") == "aggregate" || entry.value("error_occurred", false))
      continue;
    const std::string unit = text(entry, "time_unit");
    const double scale = unit == "s" ? 1 : unit == "ms" ? 1e-3 : unit == "us" ? 1e-6 : 1e-9;
    const double time = number(entry, "real_time", -1);
    if (!(time > 0)) continue;
    Group& group = groups[entry.contains("run_name") ? text(entry, "run_name") : text(entry, "name")];
    if (group.seconds.empty()) group.first = entry;
    group.seconds.push_back(time * scale);
  }
  for (auto& [name, group] : groups) {
    CostPoint point;
    point.kind = "benchmark";
    point.model = name;
    point.spec = name;
    point.device = "cpu";
    point.threads = static_cast<int>(std::clamp(number(group.first, "threads", 1), 1.0, 4096.0));
    point.machine = text(object["context"], "host_name");
    point.measured = text(object["context"], "date");
    point.metrics["run_seconds"] = cost_value(group.seconds);
    for (const char* rate : {"bytes_per_second", "items_per_second"}) {
      const double value = number(group.first, rate, -1);
      if (value > 0) point.metrics[rate] = {value, value, value, 1};
    }
    add_point(imported, std::move(point));
  }
  if (imported.costs.empty()) throw std::runtime_error("there are no benchmarks in it");
  return imported;
}

}  // namespace deciban
