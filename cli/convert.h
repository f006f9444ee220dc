// deciban convert: a model written anew with its matrices in another format.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "cli/commands/command.h"
#include "cli/console.h"

namespace deciban {

struct ConvertOptions {
  std::string input, output, format, tokenizer = "auto";
  std::vector<std::string> verify;  // corpora
  std::size_t limit = 0;            // documents of each; 0: all
  int threads = 0;
  bool force = false;
};

// Returns the exit code; throws std::invalid_argument or std::runtime_error.  The output appears whole or not
// at all.
int convert(const ConvertOptions& options, const Console& console);

Command convert_command();

}  // namespace deciban
