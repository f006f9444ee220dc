#include "evals/compression_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>

#include "evals/compressor_records.h"

namespace deciban {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kPercentPerBit = 12.5;  // compression rate: compressed bytes in per cent of raw bytes
constexpr const char* kEmptyCell = "–";

double ratio(double numerator, double denominator) {
  return denominator > 0 ? numerator / denominator : kNone;
}

Cell text_cell(const std::string& text) { return {text, ""}; }

Cell number_cell(double value, int digits) {
  if (!std::isfinite(value)) return {kEmptyCell, "null"};
  return {fmt::format("{:.{}f}", value, digits), fmt::format("{}", value)};
}

// 1234567 → "1 234 567".
std::string grouped(std::uint64_t value) {
  std::string digits = std::to_string(value);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ' ');
  return digits;
}

Cell count_cell(std::uint64_t value, bool applies = true) {
  if (!applies) return {kEmptyCell, "null"};
  return {grouped(value), std::to_string(value)};
}

// Three significant digits with a decimal prefix: "1.53 B", "191 M".
std::string short_count(double value) {
  constexpr const char* kPrefixes[] = {"", " k", " M", " B", " T"};
  std::size_t prefix = 0;
  while (value >= 999.5 && prefix + 1 < std::size(kPrefixes)) value /= 1000, ++prefix;
  const int digits = prefix == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f}{}", value, digits, kPrefixes[prefix]);
}

std::string short_bytes(double value) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) value /= 1000, ++unit;
  const int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f} {}", value, digits, kUnits[unit]);
}

std::vector<RatioTerm> terms(const std::vector<const Record*>& records, bool charged) {
  std::vector<RatioTerm> result;
  for (const Record* record : records) {
    const double unscored = charged ? 8.0 * static_cast<double>(record->unscored_bytes) : 0;
    result.push_back({-record->logprob / std::numbers::ln2 + unscored, static_cast<double>(record->bytes)});
  }
  return result;
}

Estimate estimate(std::span<const std::vector<const Record*>> corpora, Pooling pooling, bool charged,
                  std::uint64_t seed) {
  std::vector<std::vector<RatioTerm>> all;
  for (const auto& records : corpora) all.push_back(terms(records, charged));
  if (all.size() == 1) return ratio_estimate(all[0], 0.95, seed);
  return pooling == Pooling::pooled ? pooled_estimate(all, 0.95, seed) : macro_estimate(all, 0.95, seed);
}

// Mean of a corpus-wise ratio for the macro average, the ratio of sums otherwise.
template <typename Numerator, typename Denominator>
double combine(std::span<const std::vector<const Record*>> corpora, Pooling pooling, Numerator numerator,
               Denominator denominator) {
  CompensatedSum above, below, ratios;
  for (const auto& records : corpora) {
    CompensatedSum corpus_above, corpus_below;
    for (const Record* record : records) {
      const auto weight = static_cast<double>(denominator(*record));
      if (weight == 0) continue;
      corpus_above.add(numerator(*record));
      corpus_below.add(weight);
    }
    above.add(corpus_above.value());
    below.add(corpus_below.value());
    ratios.add(ratio(corpus_above.value(), corpus_below.value()));
  }
  return pooling == Pooling::macro ? ratios.value() / static_cast<double>(corpora.size())
                                   : ratio(above.value(), below.value());
}

// Where each model's records lie: model, window, corpus.
using Index = std::map<std::string, std::map<std::string, std::vector<const Record*>>>;

std::string row_key(const std::string& label, const std::string& windowing) {
  return label + "\n" + windowing;
}

enum Field {
  kModel,
  kCorpus,
  kWindow,
  kDocuments,
  kFailed,
  kParameters,
  kMode,
  kDevice,
  kBits,
  kInterval,
  kLow,
  kHigh,
  kRate,
  kCharged,
  kPerCharacter,
  kPerToken,
  kTokens,
  kBytes,
  kUnscored,
  kLossy,
  kByteSpeed,
  kTokenSpeed,
  kPeak,
  kState,
  kFields
};

std::vector<Column> columns() {
  std::vector<Column> result(kFields);
  result[kModel] = {"model", "model", false, false};
  result[kCorpus] = {"corpus", "corpus", false, false};
  result[kWindow] = {"window", "window", false, false};
  result[kDocuments] = {"docs", "documents", true, false};
  result[kFailed] = {"failed", "failed", true, true};
  result[kParameters] = {"parameters", "parameters", true, false};
  result[kMode] = {"mode", "mode", false, false};
  result[kDevice] = {"device", "device", false, false};
  result[kBits] = {"bits/byte", "bits_per_byte", true, false};
  result[kInterval] = {"95 %", "interval_95", true, false};
  result[kLow] = {"low", "bits_per_byte_low", true, true};
  result[kHigh] = {"high", "bits_per_byte_high", true, true};
  result[kRate] = {"rate %", "compression_rate_percent", true, false};
  result[kCharged] = {"charged", "bits_per_byte_charged", true, false};
  result[kPerCharacter] = {"bits/char", "bits_per_character", true, false};
  result[kPerToken] = {"nats/token", "nats_per_token", true, false};
  result[kTokens] = {"tokens", "scored_tokens", true, false};
  result[kBytes] = {"bytes", "bytes", true, false};
  result[kUnscored] = {"unscored", "unscored_bytes", true, false};
  result[kLossy] = {"lossy", "lossy_bytes", true, true};
  result[kByteSpeed] = {"B/s", "bytes_per_second", true, false};
  result[kTokenSpeed] = {"tok/s", "tokens_per_second", true, false};
  result[kPeak] = {"peak memory", "peak_memory_bytes", true, false};
  result[kState] = {"state", "state_bytes", true, false};
  return result;
}

std::vector<Cell> row(const TableModel& model, const std::string& corpus, const CompressionFigures& figures) {
  std::vector<Cell> cells(kFields);
  const bool scored = figures.scored_tokens > 0;
  cells[kModel] = text_cell(model.label);
  cells[kCorpus] = text_cell(corpus);
  cells[kWindow] = {
      model.role.empty() ? model.windowing : fmt::format("{} ({})", model.windowing, model.role), ""};
  cells[kDocuments] = count_cell(figures.documents);
  cells[kFailed] = count_cell(figures.failed);
  cells[kParameters] = model.parameters > 0 ? Cell{short_count(static_cast<double>(model.parameters)),
                                                   std::to_string(model.parameters)}
                                            : Cell{kEmptyCell, "null"};
  cells[kMode] = text_cell(model.format.empty() ? kEmptyCell : model.format);
  cells[kDevice] = text_cell(model.device.empty() ? kEmptyCell : model.device);
  cells[kBits] = number_cell(figures.bits_per_byte.value, 4);
  cells[kInterval] = text_cell(kEmptyCell);
  cells[kLow] = cells[kHigh] = number_cell(kNone, 0);
  if (const auto& interval = figures.bits_per_byte.interval) {
    cells[kInterval] = text_cell(fmt::format("{:.4f} … {:.4f}", interval->low, interval->high));
    cells[kLow] = number_cell(interval->low, 4);
    cells[kHigh] = number_cell(interval->high, 4);
  }
  cells[kRate] = number_cell(figures.bits_per_byte.value * kPercentPerBit, 2);
  cells[kCharged] = number_cell(figures.charged ? figures.charged->value : figures.bits_per_byte.value, 4);
  cells[kPerCharacter] = number_cell(figures.bits_per_character, 4);
  cells[kPerToken] = number_cell(figures.nats_per_token, 4);
  cells[kTokens] = count_cell(figures.scored_tokens, scored);
  cells[kBytes] = count_cell(figures.bytes);
  cells[kUnscored] = count_cell(figures.unscored_bytes, scored);
  cells[kLossy] = count_cell(figures.lossy_bytes);
  const auto speed = [](double value) {
    return std::isfinite(value) ? Cell{short_count(value), fmt::format("{}", value)}
                                : Cell{kEmptyCell, "null"};
  };
  cells[kByteSpeed] = speed(figures.bytes_per_second);
  cells[kTokenSpeed] = speed(scored ? figures.tokens_per_second : kNone);
  cells[kPeak] = model.peak_memory > 0 ? Cell{short_bytes(static_cast<double>(model.peak_memory)),
                                              std::to_string(model.peak_memory)}
                                       : Cell{kEmptyCell, "null"};
  cells[kState] =
      model.state_bytes > 0
          ? Cell{short_bytes(static_cast<double>(model.state_bytes)) + (model.state_grows ? "/token" : ""),
                 std::to_string(model.state_bytes)}
          : Cell{kEmptyCell, "null"};
  return cells;
}

// What of the compressors' files is container and not data: without it nothing could be unpacked, so it
// counts.
std::string header_note(std::span<const Record> records, std::span<const TableModel> models) {
  std::string text;
  for (const TableModel& model : models) {
    if (!is_compressor(model.label) || model.windowing == kSolidArchive) continue;
    double headers = 0, files = 0;
    for (const Record& record : records) {
      const auto measure = record.measures.find("header_bytes");
      if (record.model != model.label || measure == record.measures.end()) continue;
      headers += measure->second.sum;
      ++files;
    }
    if (files > 0) text += fmt::format("{}{} {:.0f}", text.empty() ? "" : ", ", model.label, headers / files);
  }
  return text.empty()
             ? ""
             : fmt::format("file headers are counted; bytes of them in each document's file: {}", text);
}

bool all_equal(const Table& table, std::size_t column) {
  return std::all_of(table.rows.begin(), table.rows.end(), [&](const auto& cells) {
    return cells[column].text == table.rows.front()[column].text;
  });
}

}  // namespace

CompressionFigures compression_figures(std::span<const std::vector<const Record*>> corpora, Pooling pooling,
                                       std::uint64_t seed) {
  CompressionFigures figures;
  std::vector<std::vector<const Record*>> scored;
  for (const auto& records : corpora) {
    scored.emplace_back();
    for (const Record* record : records) {
      if (record->status != "ok") {
        ++figures.failed;
        continue;
      }
      scored.back().push_back(record);
      ++figures.documents;
      figures.bytes += record->bytes;
      figures.characters += record->characters;
      figures.tokens += record->tokens;
      figures.scored_tokens += record->scored_tokens;
      figures.unscored_bytes += record->unscored_bytes;
      figures.lossy_bytes += record->lossy_bytes;
    }
  }
  figures.bits_per_byte = estimate(scored, pooling, false, seed);
  if (figures.unscored_bytes > 0) figures.charged = estimate(scored, pooling, true, seed);
  const auto nats = [](const Record& record) { return -record.logprob; };
  const auto bits = [](const Record& record) { return -record.logprob / std::numbers::ln2; };
  figures.bits_per_character = combine(scored, pooling, bits, [](const Record& r) { return r.characters; });
  figures.nats_per_token = combine(scored, pooling, nats, [](const Record& r) { return r.scored_tokens; });
  // Results copied from a document with the same text took no time and say nothing about speed.
  const auto seconds = [](const Record& record) { return record.seconds; };
  figures.bytes_per_second = combine(
      scored, Pooling::pooled, [](const Record& r) { return static_cast<double>(r.bytes); }, seconds);
  figures.tokens_per_second = combine(
      scored, Pooling::pooled, [](const Record& r) { return static_cast<double>(r.scored_tokens); }, seconds);
  return figures;
}

Table compression_table(std::span<const Record> records, std::span<const TableModel> models,
                        std::span<const std::string> corpora, std::uint64_t seed, std::string_view task) {
  Index index;
  for (const Record& record : records) {
    if (record.task != task) continue;
    index[row_key(record.model, record.windowing)][record.corpus].push_back(&record);
  }
  // Resampling picks documents by their place: in the order they happened to be scored in, the interval of a
  // run finished in two sittings would not be that of the same run finished at once.
  for (auto& [model, corpora_of_model] : index) {
    for (auto& [corpus, of_corpus] : corpora_of_model) {
      std::stable_sort(of_corpus.begin(), of_corpus.end(),
                       [](const Record* a, const Record* b) { return a->document < b->document; });
    }
  }
  Table table;
  table.columns = columns();
  bool few = false, solid = false;
  const auto add = [&](const TableModel& model, const std::string& name, std::span<const std::string> from,
                       Pooling pooling) {
    auto& of_model = index[row_key(model.label, model.windowing)];
    std::vector<std::vector<const Record*>> chosen;
    for (const std::string& corpus : from) {
      // A corpus of which nothing was scored has no share in an average.
      if (from.size() == 1 || !of_model[corpus].empty()) chosen.push_back(of_model[corpus]);
    }
    const CompressionFigures figures = compression_figures(chosen, pooling, seed);
    if (figures.documents + figures.failed == 0) return;
    table.rows.push_back(row(model, name, figures));
    if (model.windowing == kSolidArchive)
      solid = true;
    else if (!figures.bits_per_byte.interval)
      few = true;
  };
  for (const std::string& corpus : corpora) {
    for (const TableModel& model : models) add(model, corpus, {&corpus, 1}, Pooling::pooled);
  }
  if (corpora.size() > 1) {
    for (const TableModel& model : models) add(model, "all bytes", corpora, Pooling::pooled);
    for (const TableModel& model : models) add(model, "mean of corpora", corpora, Pooling::macro);
  }
  if (table.rows.empty()) return table;
  table.columns[kCorpus].machine_only = all_equal(table, kCorpus);
  const bool windows_differ = std::any_of(models.begin(), models.end(), [&](const TableModel& model) {
    return !is_compressor(model.label) && model.windowing != models.front().windowing;
  });
  table.columns[kWindow].machine_only = !windows_differ;
  const bool unscored = std::any_of(table.rows.begin(), table.rows.end(), [](const auto& cells) {
    return cells[kUnscored].value != "0" && cells[kUnscored].value != "null";
  });
  table.columns[kCharged].machine_only = table.columns[kUnscored].machine_only = !unscored;
  if (few) {
    table.notes.push_back(
        fmt::format("–: no interval with fewer than {} documents in a corpus", kMinDocumentsForInterval));
  }
  if (unscored) table.notes.push_back("charged: bits/byte with the unscored bytes at 8 bits each");
  if (solid)
    table.notes.push_back("solid: all documents of a corpus in one archive; one figure, so no interval");
  if (const std::string note = header_note(records, models); !note.empty()) table.notes.push_back(note);
  return table;
}

}  // namespace deciban
