// Words such as "transformer,model=llama-1b/,mode=fast": how models outside the engine are named, after the
// prefix that says of which kind they are.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/export.h"

namespace deciban {

struct DECIBAN_API ModelSpec {
  std::string target;                                        // a name, path, command or address
  std::vector<std::pair<std::string, std::string>> options;  // as written, each key once

  // The value of an option, or nullptr.
  const std::string* find(std::string_view key) const;
};

// TARGET[,KEY=VALUE…].  A comma that belongs to the target or to a value is written "\,".  Throws
// std::invalid_argument naming the word.
DECIBAN_API ModelSpec parse_model_spec(std::string_view words);

// The target is all before the first ",KEY=" with one of these keys, other commas included: for commands and
// addresses, which have commas of their own.  Of values the same holds.
DECIBAN_API ModelSpec parse_model_spec(std::string_view words, const std::vector<std::string_view>& keys);

}  // namespace deciban
