#include "reports/import.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace deciban {

using nlohmann::json;

std::string import_key(std::initializer_list<std::string_view> fields) {
  std::string all = "imported";
  for (const std::string_view field : fields) all += fmt::format("\n{}:{}", field.size(), field);
  RunIdentity identity;
  identity.task = "import";
  return record_key(identity, all);
}

namespace {

// Python writes NaN and Infinity, which JSON does not know; outside of strings they become null.
std::string without_python_numbers(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '\\' && i + 1 < text.size()) {
      result += c;
      result += text[++i];
      continue;
    }
    if (c == '"') quoted = !quoted;
    bool replaced = false;
    for (const std::string_view word : {"NaN", "-Infinity", "Infinity"}) {
      if (quoted || !text.substr(i).starts_with(word)) continue;
      result += "null";
      i += word.size() - 1;
      replaced = true;
      break;
    }
    if (!replaced) result += c;
  }
  return result;
}

}  // namespace

Imported import_text(std::string_view raw, const std::filesystem::path& name, const std::string& model) {
  const std::string plain = without_python_numbers(raw);
  const std::string_view text = plain;
  const std::string file = name.filename().string();
  if (file.starts_with("samples_") && file.ends_with(".jsonl"))
    return import_lm_eval_samples(text, name, model);
  const json value = json::parse(text, nullptr, false);
  if (value.is_discarded()) {
    // JSON Lines: llama-bench writes them, too.
    const std::string_view first = text.substr(0, text.find('\n'));
    const json line = json::parse(first, nullptr, false);
    if (line.is_object() && line.contains("n_prompt") && line.contains("n_gen"))
      return import_llama_bench(text, model);
    if (line.is_object() && line.contains("doc_id")) return import_lm_eval_samples(text, name, model);
    throw std::runtime_error("neither JSON nor JSON Lines of a kind that is known");
  }
  if (value.is_array() && !value.empty() && value[0].is_object() && value[0].contains("n_prompt"))
    return import_llama_bench(text, model);
  if (value.is_object()) {
    if (value.contains("benchmarks") && value.contains("context")) return import_google_benchmark(text);
    if (value.contains("results") && (value.contains("configs") || value.contains("versions")))
      return import_lm_eval_results(text, name, model);
    if (value.contains("neg_log_prob_sum") || value.contains("datasets"))
      return import_uncheatable(text, name, model);
    if (value.contains("n_prompt") && value.contains("n_gen")) return import_llama_bench(text, model);
    if (value.contains("doc_id")) return import_lm_eval_samples(text, name, model);
  }
  throw std::runtime_error(
      "not known: wanted is a log of uncheatable_eval, lm-eval's results_*.json or samples_*.jsonl, "
      "llama-bench's "
      "-o json, or Google Benchmark's --benchmark_format=json");
}

Imported import_file(const std::filesystem::path& path, const std::string& model) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(fmt::format("cannot read {}", path.string()));
  const std::string text(std::istreambuf_iterator<char>(file), {});
  try {
    return import_text(text, path, model);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(fmt::format("{}: {}", path.string(), error.what()));
  } catch (const json::exception& error) {
    throw std::runtime_error(fmt::format("{}: {}", path.string(), error.what()));
  }
}

}  // namespace deciban
