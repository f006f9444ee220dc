// deciban info: what is known of this machine, a model, a corpus, a run or a file of ours.
#pragma once

#include <string>
#include <vector>

#include "cli/console.h"
#include "engine/lm.h"

namespace deciban {

// Without subjects the machine.  A subject is a model (as for eval -m), `tasks`, a run's directory, a file of records
// or of token scores (printed as JSON Lines).  Returns the exit code; throws as eval().
int info(const std::vector<std::string>& subjects, const ModelOptions& options, const Console& console);

// deciban info --check: the conformance suite on each model, as a table.  Returns kFailed if a check failed.
int check_models(const std::vector<std::string>& models, const ModelOptions& options, const Console& console);

}  // namespace deciban
