#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <stdexcept>

#include "reports/import.h"

namespace deciban {
namespace {

using nlohmann::json;

double number(const json& object, const char* field) {
  const auto found = object.find(field);
  if (found == object.end() || !found->is_number())
    throw std::runtime_error(fmt::format("field '{}' is missing or not a number", field));
  const double value = found->get<double>();
  if (!std::isfinite(value) || value < 0)
    throw std::runtime_error(fmt::format("field '{}' is {}", field, value));
  return value;
}

std::string field_text(const json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// One data set's means: all its documents as one record, since a log has no more.
Record record_of(const json& log, const std::string& model, const std::string& corpus,
                 const std::string& windowing) {
  const double count = number(log, "sample_count"), nats = number(log, "neg_log_prob_sum") * count,
               bytes = number(log, "avg bytes") * count;
  if (!(count >= 1) || !(bytes >= 1) || bytes > 1e15)
    throw std::runtime_error("a data set without documents or bytes");
  Record record;
  record.model = model;
  record.task = "compression";
  record.windowing = windowing;
  record.corpus = corpus;
  record.document = fmt::format("(all {:.0f} documents)", count);
  record.bytes = static_cast<std::uint64_t>(std::llround(bytes));
  const auto optional = [&](const char* field) {
    return log.contains(field)
               ? static_cast<std::uint64_t>(std::llround(std::min(number(log, field) * count, 1e18)))
               : std::uint64_t{0};
  };
  record.characters = optional("avg character count");
  record.tokens = record.scored_tokens = optional("avg tokens");
  record.logprob = -nats;
  record.labels = {{"source", "uncheatable_eval"}};
  record.measures = {{"bits_per_byte", {nats / std::numbers::ln2, static_cast<double>(record.bytes)}}};
  record.key = import_key({model, corpus, windowing, fmt::format("{}", nats)});
  return record;
}

}  // namespace

Imported import_uncheatable(std::string_view content, const std::filesystem::path& name,
                            const std::string& model) {
  const json log = json::parse(content);
  if (!log.is_object()) throw std::runtime_error("not a JSON object");
  Imported imported{"uncheatable_eval log", {}, {}, {}, {}};
  std::string label = model;
  if (label.empty()) label = std::filesystem::path(field_text(log, "model_name_or_path")).filename().string();
  if (label.empty()) label = std::filesystem::path(field_text(log, "model")).filename().string();
  if (label.empty()) label = name.stem().string();
  const auto datasets = log.find("datasets");
  if (datasets != log.end() && datasets->is_object()) {
    const std::string windowing =
        fmt::format("uncheatable2:{}", log.contains("ctx_len") ? number(log, "ctx_len") : 4000);
    for (const auto& [corpus, means] : datasets->items()) {
      if (!means.is_object() || !means.contains("neg_log_prob_sum")) {
        imported.notes.push_back(fmt::format("{}: only a ratio is given, no sums; left out", corpus));
        continue;
      }
      imported.records.push_back(record_of(means, label, corpus, windowing));
    }
  } else {
    // The code of 2026 says how the text begins; the one before resets without a start token.
    const bool later = log.contains("bos_mode");
    const double chunk = log.contains("chunk_size") ? number(log, "chunk_size") : later ? 4000 : 1024;
    std::string corpus = std::filesystem::path(field_text(log, "data_path")).stem().string();
    if (corpus.empty()) corpus = name.stem().string();
    imported.records.push_back(record_of(
        log, label, corpus, fmt::format("{}:{:.0f}", later ? "uncheatable2" : "uncheatable", chunk)));
  }
  if (imported.records.empty()) throw std::runtime_error("no data set with sums");
  imported.notes.push_back("a log has means only: each data set is one record, so there are no intervals");
  return imported;
}

}  // namespace deciban
