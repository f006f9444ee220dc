#include "cli/eval_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "evals/abstract_conclusion_table.h"
#include "evals/compressor_records.h"
#include "evals/submission.h"

namespace deciban {
namespace {

Table table_of(const TaskEntry& task, std::span<const Record> records, std::span<const TableModel> models,
               std::span<const std::string> corpora, std::uint64_t seed) {
  if (task.report == TaskReport::abstract_conclusion)
    return abstract_conclusion_table(records, models, corpora, seed);
  return compression_table(records, models, corpora, seed, task.name);
}

std::size_t corpus_column(const Table& table) {
  const auto found = std::find_if(table.columns.begin(), table.columns.end(),
                                  [](const Column& column) { return column.key == "corpus"; });
  return static_cast<std::size_t>(found - table.columns.begin());
}

// One table of several, each about a part of the documents.
Table joined(const TaskEntry& task, std::span<const RecordPart> parts, std::span<const TableModel> models,
             std::span<const std::string> corpora, std::uint64_t seed) {
  // One archive of all documents has no part in any of them.
  std::vector<TableModel> rows(models.begin(), models.end());
  std::erase_if(rows, [](const TableModel& row) { return row.windowing == kSolidArchive; });
  Table all;
  for (const RecordPart& part : parts) {
    Table table = table_of(task, part.records, rows, corpora, seed);
    if (table.rows.empty()) continue;
    const std::size_t corpus = corpus_column(table);
    table.columns[corpus].machine_only = false;
    if (all.columns.empty()) all.columns = table.columns;
    for (std::size_t i = 0; i < all.columns.size(); ++i)
      all.columns[i].machine_only = all.columns[i].machine_only && table.columns[i].machine_only;
    for (auto& cells : table.rows) {
      cells[corpus].text = fmt::format("{} ({})", cells[corpus].text, part.name);
      all.rows.push_back(std::move(cells));
    }
    for (std::string& note : table.notes) {
      if (std::find(all.notes.begin(), all.notes.end(), note) == all.notes.end())
        all.notes.push_back(std::move(note));
    }
  }
  return all;
}

}  // namespace

Table task_report(const TaskEntry& task, std::span<const Record> records, std::span<const TableModel> models,
                  std::span<const std::string> corpora, const EvalReportOptions& options) {
  std::vector<Record> own;
  for (const Record& record : records) {
    if (record.task == task.name && record.windowing != kSolidArchive) own.push_back(record);
  }
  if (options.by_month) return joined(task, part_by_month(own), models, corpora, options.seed);
  if (options.cutoff.empty()) return table_of(task, records, models, corpora, options.seed);
  const std::vector<RecordPart> parts = part_by_cutoff(own, options.cutoff);
  const bool dated = parts.size() > 1 || (parts.size() == 1 && parts[0].name != "undated");
  if (parts.size() > 1) {
    Table table = joined(task, parts, models, corpora, options.seed);
    table.notes.push_back(fmt::format(
        "until {}: the latest training cut-off known of these models; they may have read these texts",
        options.cutoff));
    return table;
  }
  Table table = table_of(task, records, models, corpora, options.seed);
  if (dated) {
    table.notes.push_back(
        parts[0].name.starts_with("after")
            ? fmt::format("all texts are newer than the latest training cut-off known of these models ({})",
                          options.cutoff)
            : fmt::format(
                  "no text is newer than the latest training cut-off known of these models ({}): they "
                  "may have read all of them",
                  options.cutoff));
  }
  return table;
}

}  // namespace deciban
