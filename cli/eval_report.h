// The tables of an evaluation: a task's records, parted by training cut-off or month where asked for.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evals/compression_table.h"
#include "evals/tasks.h"
#include "reports/record.h"
#include "reports/table.h"

namespace deciban {

struct EvalReportOptions {
  std::uint64_t seed = 1;
  std::string cutoff;     // texts until then are shown apart; empty: no cut-off is known
  bool by_month = false;  // a row for each month of submission instead
};

// Records of other tasks are ignored.  Rows of documents that a model may have read are never mixed with
// those of newer ones: they follow them, and say so in the column of the corpus.
Table task_report(const TaskEntry& task, std::span<const Record> records, std::span<const TableModel> models,
                  std::span<const std::string> corpora, const EvalReportOptions& options);

}  // namespace deciban
