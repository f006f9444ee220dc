#include "evals/abstract_conclusion_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace deciban {
namespace {

constexpr const char* kDash = "–";

Cell number(double value) {
  return std::isfinite(value) ? Cell{fmt::format("{:.4f}", value), fmt::format("{}", value)}
                              : Cell{kDash, "null"};
}

using Records = std::vector<const Record*>;

std::vector<RatioTerm> terms(const Records& records, const std::string& measure) {
  std::vector<RatioTerm> result;
  for (const Record* record : records) {
    if (const auto found = record->measures.find(measure); found != record->measures.end())
      result.push_back({found->second.sum, found->second.weight});
  }
  return result;
}

double ratio(const std::vector<Records>& corpora, const std::string& measure) {
  CompensatedSum above, below;
  for (const Records& records : corpora) {
    for (const RatioTerm& term : terms(records, measure)) {
      above.add(term.numerator);
      below.add(term.denominator);
    }
  }
  return above.value() / below.value();
}

std::vector<Cell> row(const TableModel& model, const std::string& corpus, const std::vector<Records>& corpora,
                      std::size_t failed, std::uint64_t seed) {
  std::vector<std::vector<RatioTerm>> told;
  std::size_t documents = 0, queries = 0;
  for (const Records& records : corpora) {
    told.push_back(terms(records, "bits_told_by_abstract"));
    documents += records.size();
    for (const Record* record : records) queries += record->queries.size();
  }
  const Estimate difference =
      told.size() == 1 ? ratio_estimate(told[0], 0.95, seed) : pooled_estimate(told, 0.95, seed);
  const auto interval = difference.interval;
  return {{model.label, ""},
          {corpus, ""},
          {model.windowing, ""},
          {std::to_string(documents), std::to_string(documents)},
          {std::to_string(failed), std::to_string(failed)},
          number(ratio(corpora, "bits_given_own")),
          number(ratio(corpora, "bits_given_other")),
          number(ratio(corpora, "bits_given_nothing")),
          number(difference.value),
          {interval ? fmt::format("{:.4f} … {:.4f}", interval->low, interval->high) : kDash, ""},
          number(interval ? interval->low : NAN),
          number(interval ? interval->high : NAN),
          number(ratio(corpora, "control_level")),
          {std::to_string(queries), std::to_string(queries)}};
}

}  // namespace

Table abstract_conclusion_table(std::span<const Record> records, std::span<const TableModel> models,
                                std::span<const std::string> corpora, std::uint64_t seed) {
  Table table;
  table.columns = {{"model", "model", false, false},
                   {"corpus", "corpus", false, corpora.size() == 1},
                   {"window", "window", false, true},
                   {"docs", "documents", true, false},
                   {"failed", "failed", true, true},
                   {"own", "bits_per_byte_given_own", true, false},
                   {"other", "bits_per_byte_given_other", true, false},
                   {"nothing", "bits_per_byte_given_nothing", true, false},
                   {"other − own", "bits_per_byte_told_by_abstract", true, false},
                   {"95 %", "interval_95", true, false},
                   {"low", "bits_per_byte_told_low", true, true},
                   {"high", "bits_per_byte_told_high", true, true},
                   {"control level", "control_level", true, true},
                   {"queries", "queries", true, true}};
  bool few = false;
  const auto add = [&](const TableModel& model, const std::string& name, std::span<const std::string> from) {
    std::vector<Records> chosen;
    std::size_t failed = 0;
    for (const std::string& corpus : from) {
      Records of_corpus;
      for (const Record& record : records) {
        if (record.task != "abstract-conclusion" || record.model != model.label ||
            record.windowing != model.windowing || record.corpus != corpus)
          continue;
        if (record.status == "ok") {
          of_corpus.push_back(&record);
        } else {
          ++failed;
        }
      }
      // Resampling picks documents by their place: it must not depend on the order they were scored in.
      std::stable_sort(of_corpus.begin(), of_corpus.end(),
                       [](const Record* a, const Record* b) { return a->document < b->document; });
      if (!of_corpus.empty()) chosen.push_back(std::move(of_corpus));
    }
    if (chosen.empty()) return;
    table.rows.push_back(row(model, name, chosen, failed, seed));
    few = few || table.rows.back()[9].text == kDash;
  };
  for (const std::string& corpus : corpora) {
    for (const TableModel& model : models) add(model, corpus, {&corpus, 1});
  }
  if (corpora.size() > 1) {
    for (const TableModel& model : models) add(model, "all", corpora);
  }
  table.notes = {
      "bits per byte of the conclusion after its own abstract, another paper's, and none; other − own is "
      "what the abstract tells of it"};
  if (few)
    table.notes.push_back(
        fmt::format("–: no interval with fewer than {} documents", kMinDocumentsForInterval));
  return table;
}

}  // namespace deciban
