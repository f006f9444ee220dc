// The start-token policy: what a text follows, one rule for all models of a run.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/lm.h"

namespace deciban {

// "bos": the model's own document separator, so that every token is scored.  "none": nothing, so that the
// first token has no probability.  A number: that token.
struct StartPolicy {
  enum class Kind { bos, none, token };
  Kind kind = Kind::bos;
  Token token = 0;
  static StartPolicy parse(std::string_view word);  // throws std::invalid_argument
  std::string name() const;                         // "bos", "none", "5"
  // None where the policy says so or the model has no separator.  Throws std::invalid_argument for a token
  // outside the model's vocabulary.
  std::optional<Token> resolve(const ModelInfo& model) const;
};

// How a resolved start token stands in records and keys: "0", "none".
std::string start_name(std::optional<Token> start);

}  // namespace deciban
