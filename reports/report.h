// The report of any number of runs: one page for people, one table for everything else.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "reports/board.h"
#include "reports/collection.h"
#include "reports/published.h"
#include "reports/table.h"

namespace deciban {

struct ReportOptions {
  std::string title;                      // empty: one that says what was measured
  std::string made, version;              // date and program, for the page's end
  std::uint64_t seed = 1;                 // of the resamples
  std::vector<PublishedTable> published;  // to be shown beside ours
  std::vector<std::string> documents;     // whose tokens are shown; empty: three chosen by their differences
  // A document's text, if it is at hand; texts are no part of a run.
  std::function<std::optional<std::string>(const CorpusEntry&, const std::string& document)> text;
};

// Throws std::runtime_error if the collection holds nothing that was scored.
std::string report_page(const Collection& collection, const ReportOptions& options);

// Scores on tasks: a row for each model, task and measure.
Table task_table(const Collection& collection, std::uint64_t seed);

}  // namespace deciban
