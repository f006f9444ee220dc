// What a model says of itself as JSON: the language of `info` in plugins and programs (docs/plugins.md).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/lm.h"

namespace deciban {

struct DescribedModel {
  ModelInfo info;
  bool rows = true;   // it can give rows of logits to a sink that wants them
  bool batch = true;  // it can step sequences in lockstep
};

// `who` begins every message.  Empty strings and what is not named stay as in `defaults`; fields that are not
// known are passed over, so that later versions may add some.  Throws std::runtime_error naming the field and
// its value: not an object, without "n_vocab", of the wrong type, out of range.
DECIBAN_API DescribedModel parse_model_info(std::string_view json, const std::string& who,
                                            const ModelInfo& defaults);

// The same fields, so that parse_model_info(model_info_json(m)) == m but for `spec`.
DECIBAN_API std::string model_info_json(const DescribedModel& model);

// The options object that open() of a plugin and the first line of a program get: what the user wrote and
// ModelOptions.  Throws std::invalid_argument where they are not UTF-8.
DECIBAN_API std::string model_options_json(const std::string& spec,
                                           const std::vector<std::pair<std::string, std::string>>& words,
                                           const ModelOptions& options);

}  // namespace deciban
