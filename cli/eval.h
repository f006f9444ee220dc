// deciban eval: models × tasks × corpora → records and the table made of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/console.h"
#include "engine/lm.h"

namespace deciban {

// The command's options, as words.
struct EvalOptions {
  std::vector<std::string> models, labels, corpora;
  std::vector<std::string> tasks{"compression"};
  std::string output, device = "auto", mode = "auto", tokenizer = "auto", batch = "auto";
  std::string window = "auto", start = "bos", limit = "all", shard = "auto";
  std::string characters = "2000:5000", cutoff = "auto", by, verify;
  int threads = 0;
  std::uint64_t seed = 1;
  bool token_scores = false, dry_run = false, no_compressors = false, deterministic = false;
};

// Where models come from: the engine, but in tests.
struct ModelSource {
  // As check_model(): throws for a model that cannot be opened, without reading its weights.
  std::function<void(const std::string& spec, const ModelOptions&)> check = check_model;
  std::function<std::unique_ptr<LanguageModel>(const std::string& spec, const ModelOptions&)> open =
      open_model;
};

// Returns the exit code.  Throws std::invalid_argument for options that make no sense, std::runtime_error for
// what fails; records made until then are kept.
int eval(const EvalOptions& options, const std::vector<std::string>& command, const Console& console,
         const ModelSource& source = {});

}  // namespace deciban
