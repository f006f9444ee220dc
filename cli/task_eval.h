// deciban eval -t TASK: models × standard tasks → records, the table made of them, and files as
// lm-evaluation-harness writes them.
#pragma once

#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/eval.h"

namespace deciban {

// Whether the tasks asked for are standard ones.  Throws std::invalid_argument where some are and some not.
bool asks_for_tasks(const EvalOptions& options);

// As eval().
int eval_tasks(const EvalOptions& options, const std::vector<std::string>& command, const Console& console,
               const ModelSource& source);

}  // namespace deciban
