#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

#include "reports/chart.h"
#include "reports/context_table.h"
#include "reports/sections.h"

namespace deciban {
namespace {

constexpr std::size_t kMostContextLines = 6;

// The records that the line-ups of these tasks were made of, as far as the tables need them.
std::vector<Record> records_of(const Collection& collection) {
  std::vector<Record> records;
  for (const LineUp& lineup : collection.lineups) {
    if (!about_length(lineup.task)) continue;
    std::unordered_map<std::uint32_t, std::map<std::string, Measure>> measures;
    for (const auto& [name, values] : lineup.measures) {
      for (const auto& [document, value] : values) measures[document][name] = value;
    }
    for (const DocumentScore& score : lineup.scores) {
      const DocumentEntry& entry = collection.documents[score.document];
      Record record;
      record.model = lineup.name;
      record.task = lineup.task;
      record.windowing = lineup.windowing;
      record.corpus = collection.corpora[entry.corpus].name;
      record.document = entry.id;
      record.tokens = score.tokens;
      record.scored_tokens = score.scored_tokens;
      record.bytes = score.bytes;
      record.logprob = -score.bits * std::log(2.0);
      record.measures = measures[score.document];
      // What lacks its measures was not written by these tasks.
      const bool recall = !record.task.starts_with(kContextTask);
      if (!record.measures.contains("bits_per_byte") || (recall && !record.measures.contains("choice")))
        continue;
      records.push_back(std::move(record));
    }
  }
  return records;
}

LinesChart chart_of(const std::vector<ContextRow>& rows) {
  LinesChart chart;
  chart.text = {"Bits per byte against the context given",
                "One line a model, over bytes of context, with 95 % bands."};
  chart.x = {"bytes of context", Spacing::logarithmic, TickUnit::bytes};
  chart.y.title = "bits per byte of the same target bytes";
  for (const ContextRow& row : rows) {
    if (row.context == 0 || !std::isfinite(row.bits_per_byte.value))
      continue;  // no place on a logarithmic axis
    auto series = std::find_if(chart.series.begin(), chart.series.end(),
                               [&](const LinesChart::Series& s) { return s.name == row.model; });
    if (series == chart.series.end()) {
      if (chart.series.size() == kMostContextLines) continue;
      series = chart.series.insert(series, {row.model, {}});
    }
    series->points.push_back(
        {static_cast<double>(row.context), row.bits_per_byte.value, row.bits_per_byte.interval});
  }
  return chart;
}

}  // namespace

void context_section(Page& page, const ReportInput& input) {
  const std::vector<Record> records = records_of(input.collection);
  if (records.empty()) return;
  const std::vector<ContextRow> rows = context_rows(records, input.collection.costs, input.options.seed);
  const Table recall = recall_table(records, input.options.seed);
  if (rows.empty() && recall.rows.empty()) return;
  Node section = page.section("context", "What length buys");
  paragraph(section,
            "The same target bytes after more and more of the text before them: how much a model makes of "
            "what it has "
            "read, beside what reading it costs.");
  const LinesChart chart = chart_of(rows);
  if (!chart.series.empty()) {
    figure(section,
           "A line that goes on falling belongs to a model that still profits from further context. Bands "
           "are 95 % "
           "intervals over documents, which are the same at every length.",
           [&](Node parent, double width) { draw_lines(parent, chart, width); });
  }
  put_table(section, "Bits per byte and their cost by context", context_table(rows));
  put_table(section, "Recall of pairs read before", recall);
}

}  // namespace deciban
