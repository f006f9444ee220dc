// deciban compress and decompress: files coded with a model's probabilities.
#pragma once

#include <string>

#include "cli/console.h"
#include "cli/eval.h"

namespace deciban {

struct CompressOptions {
  std::string model, input, output, streams = "auto";
  ModelOptions model_options;
  bool force = false, no_claim = false;
};

// Both return the exit code and throw std::invalid_argument or std::runtime_error.  The output appears whole
// or not at all.
int compress_file(const CompressOptions& options, const Console& console, const ModelSource& source = {});
int decompress_file(const CompressOptions& options, const Console& console, const ModelSource& source = {});

}  // namespace deciban
