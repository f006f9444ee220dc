// What tests of the transformer share: opening golden models, and scoring one sequence.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "plugins/transformer/model.h"
#include "tests/engine/scoring.h"

namespace deciban::transformer {

inline std::unique_ptr<LanguageModel> open_directory(const std::filesystem::path& folder,
                                                     const Opening& how = {}) {
  const Checkpoint checkpoint = Checkpoint::open(folder);
  const Shape shape = shape_of_config(checkpoint.config, (folder / "config.json").string());
  ModelOptions options;
  options.format = how.mode;
  options.threads = how.threads;
  options.chunk_rows = how.chunk_rows;
  return load_transformer(checkpoint, shape, byte_tokenizer(),
                          how.isa.empty() ? cpu_backend() : cpu_backend(how.isa), options, {});
}

inline std::unique_ptr<LanguageModel> open_golden(const std::string& name, const Opening& how = {}) {
  return open_directory(golden("transformers/" + name), how);
}

inline std::vector<TokenScore> score_one(LanguageModel& model, const std::vector<Token>& tokens) {
  const Collected got = score(model, {{.tokens = tokens}});
  EXPECT_TRUE(got.failures.empty()) << (got.failures.empty() ? "" : got.failures.begin()->second);
  return got.scores.empty() ? std::vector<TokenScore>{} : got.scores.at(0);
}

}  // namespace deciban::transformer
