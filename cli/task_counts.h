// What an evaluation of tasks would compute: requests and tokens, without a model's weights.
#pragma once

#include <span>
#include <string>

#include "cli/dry_run.h"
#include "evals/run.h"
#include "reports/table.h"

namespace deciban {

// Appends a row for each task: documents, requests, their tokens, the tokens that are read where shared
// beginnings are computed once, and the ratio of the two.
void count_requests(const LanguageModel& model, const std::string& label,
                    std::span<const Assignment> assignments, const RunOptions& options, Table& table);

}  // namespace deciban
