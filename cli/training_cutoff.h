// Up to when a model given on the command line may have read.
#pragma once

#include <optional>
#include <string>

#include "evals/cutoffs.h"

namespace deciban {

// In this order: `training_cutoff` in the config.json or meta.json beside the checkpoint, the table of known
// models, a date in its name.  `spec` is what -m was given, `name` what the model calls itself.  Throws
// std::runtime_error naming the file if its training_cutoff is no date.
std::optional<Cutoff> training_cutoff(const std::string& spec, const std::string& name);

}  // namespace deciban
