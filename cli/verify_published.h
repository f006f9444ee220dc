// deciban verify-published: does this installation get the figures that others published?
#pragma once

#include <string>
#include <vector>

#include "cli/console.h"
#include "engine/lm.h"

namespace deciban {

struct VerifyOptions {
  std::vector<std::string> models, corpora;  // checkpoints; corpus files or a folder of them
  ModelOptions model;
};

// Scores every given corpus that the table knows with every given model that it knows, and compares.  kDone
// if all agree, or if there was nothing to compare (says what is missing and where to get it); kFailed
// otherwise.
int verify_published(const VerifyOptions& options, const Console& console);

}  // namespace deciban
