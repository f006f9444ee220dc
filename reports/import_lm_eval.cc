#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "reports/import.h"

namespace deciban {
namespace {

using nlohmann::json;

constexpr const char* kWindowing = "lm-eval";

// How lm-eval's values become sums: perplexities are means of logarithms.
bool is_perplexity(std::string_view measure) { return measure.find("perplexity") != std::string_view::npos; }

std::string aggregation(std::string_view measure) {
  return is_perplexity(measure)       ? "exp(− Σ sum / Σ weight)"
         : measure == "bits_per_byte" ? "Σ sum / Σ weight"
                                      : "mean: Σ sum / Σ weight";
}

// "samples_arc_easy_2026-11-23T04-31-14.269460.jsonl" → "arc_easy"
std::string task_of(const std::filesystem::path& name) {
  std::string stem = name.stem().string();
  if (stem.starts_with("samples_")) stem = stem.substr(8);
  const std::size_t date = stem.rfind("_20");
  if (date != std::string::npos && stem.find('T', date) != std::string::npos) stem.resize(date);
  return stem;
}

std::string model_of(const std::filesystem::path& name, const std::string& given) {
  if (!given.empty()) return given;
  std::string folder = name.parent_path().filename().string();
  const std::size_t owner = folder.find("__");  // how lm-eval writes the slash of a repository's name
  if (owner != std::string::npos) folder = folder.substr(owner + 2);
  return folder.empty() ? "model" : folder;
}

// Numbers come as JSON numbers or as Python's texts of them.
std::optional<double> number_of(const json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_boolean()) return value.get<bool>() ? 1.0 : 0.0;
  if (!value.is_string()) return std::nullopt;
  const std::string text = value.get<std::string>();
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<Measure> measure_of(const std::string& name, const json& value) {
  if (value.is_array() && value.size() == 2) {  // (log-likelihood, bytes or words)
    const auto sum = number_of(value[0]), weight = number_of(value[1]);
    if (!sum || !weight || !std::isfinite(*sum) || !std::isfinite(*weight)) return std::nullopt;
    if (name == "bits_per_byte") return Measure{-*sum / std::log(2.0), *weight};
    return Measure{*sum, *weight};
  }
  const auto number = number_of(value);
  if (!number || !std::isfinite(*number)) return std::nullopt;
  return Measure{*number, 1};
}

Record sample_of(const json& line, const std::string& task, const std::string& model) {
  Record record;
  record.model = model;
  record.task = task;
  record.corpus = task;
  record.windowing = kWindowing;
  const auto id = line.find("doc_id");
  if (id == line.end()) throw std::runtime_error("field 'doc_id' is missing");
  record.document = id->is_string() ? id->get<std::string>() : id->dump();
  record.labels = {{"source", "lm-eval"}};
  const auto responses = line.find("filtered_resps");
  if (responses != line.end() && responses->is_array()) {
    for (const json& response : *responses) {
      if (!response.is_array() || response.empty()) continue;
      const auto logprob = number_of(response[0]);
      if (!logprob || !std::isfinite(*logprob)) continue;
      const bool greedy = response.size() > 1 && (response[1] == "True" || response[1] == true);
      record.queries.push_back({*logprob, greedy, 0, 0});
    }
  }
  const auto metrics = line.find("metrics");
  if (metrics == line.end() || !metrics->is_array()) throw std::runtime_error("field 'metrics' is missing");
  for (const json& metric : *metrics) {
    if (!metric.is_string()) continue;
    const std::string name = metric.get<std::string>();
    const auto value = line.find(name);
    if (value == line.end()) continue;
    if (const auto measure = measure_of(name, *value)) record.measures[name] = *measure;
  }
  // A rolling task's bits over its bytes are those of a text.
  const auto bits = record.measures.find("bits_per_byte");
  if (bits != record.measures.end() && bits->second.weight >= 1 && bits->second.weight < 1e15) {
    record.bytes = static_cast<std::uint64_t>(bits->second.weight);
    record.logprob = -bits->second.sum * std::log(2.0);
    record.scored_tokens = record.tokens = 1;
  }
  const auto digest = [&](const char* field) {
    const auto found = line.find(field);
    return found != line.end() && found->is_string() ? found->get<std::string>() : "";
  };
  record.key = import_key(
      {model, task, record.document, digest("doc_hash"), digest("prompt_hash"), digest("target_hash"),
       responses == line.end() ? "" : responses->dump(-1, ' ', false, json::error_handler_t::replace)});
  return record;
}

}  // namespace

Imported import_lm_eval_samples(std::string_view text, const std::filesystem::path& name,
                                const std::string& model) {
  Imported imported{"lm-eval samples", {}, {}, {}, {}};
  const std::string task = task_of(name), label = model_of(name, model);
  std::size_t line_number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line_number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const json object = json::parse(line, nullptr, false);
    if (!object.is_object())
      throw std::runtime_error(fmt::format("line {} is not a JSON object", line_number));
    try {
      imported.records.push_back(sample_of(object, task, label));
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(fmt::format("line {}: {}", line_number, error.what()));
    }
    for (const auto& [measure, value] : imported.records.back().measures)
      imported.tasks[task].try_emplace(measure, aggregation(measure));
  }
  if (imported.records.empty()) throw std::runtime_error("there are no samples in it");
  return imported;
}

Imported import_lm_eval_results(std::string_view text, const std::filesystem::path& name,
                                const std::string& model) {
  const json object = json::parse(text);
  Imported imported{"lm-eval results", {}, {}, {}, {}};
  std::string label = model;
  const auto given = object.find("model_name");
  if (label.empty() && given != object.end() && given->is_string())
    label = std::filesystem::path(given->get<std::string>()).filename().string();
  if (label.empty()) label = model_of(name, "");
  const auto samples = object.value("n-samples", json::object());
  if (!object["results"].is_object()) throw std::runtime_error("field 'results' is not an object");
  for (const auto& [task, values] : object["results"].items()) {
    if (!values.is_object()) continue;
    double count = 1;
    if (samples.contains(task) && samples[task].is_object()) count = samples[task].value("effective", 1.0);
    Record record;
    record.model = label;
    record.task = task;
    record.corpus = task;
    record.windowing = kWindowing;
    record.document = fmt::format("(all {:.0f} documents)", count);
    record.labels = {{"source", "lm-eval"}};
    for (const auto& [metric, value] : values.items()) {
      const std::size_t comma = metric.find(',');
      const std::string measure = metric.substr(0, comma);
      // Of several filters the plain one counts.
      if (measure.ends_with("_stderr") || (comma != std::string::npos && metric.substr(comma + 1) != "none"))
        continue;
      const auto number = number_of(value);
      if (!value.is_number() || !number || !std::isfinite(*number) || measure == "sample_len") continue;
      if (is_perplexity(measure) && !(*number > 0)) continue;
      record.measures[measure] = {(is_perplexity(measure) ? -std::log(*number) : *number) * count, count};
      imported.tasks[task].try_emplace(measure, aggregation(measure));
    }
    // Without its bytes a ratio is no text's score.
    record.measures.erase("bits_per_byte");
    if (record.measures.empty()) continue;
    record.key = import_key({label, task, text});
    imported.records.push_back(std::move(record));
  }
  if (imported.records.empty()) throw std::runtime_error("there are no results in it");
  imported.notes.push_back("results have means only: without the samples_*.jsonl there are no intervals");
  return imported;
}

}  // namespace deciban
