// `exec:COMMAND`: a model in any program that speaks JSON Lines on its standard input and output
// (docs/plugins.md).  A crash of the program costs the sequences it dies of, not the run.
#pragma once

#include <memory>
#include <string>

#include "engine/lm.h"

namespace deciban {

// `words`: COMMAND[,timeout=SECONDS][,start_timeout=SECONDS], the command as for /bin/sh.  Throws
// std::runtime_error for what the program complains of and for a program that ends, hangs or does not speak
// the protocol; std::invalid_argument for a bad option.
DECIBAN_API std::unique_ptr<LanguageModel> open_exec(const std::string& words, const std::string& spec,
                                                     const ModelOptions& options);
// Checks the words and that the command's program exists; does not start it.
DECIBAN_API void check_exec(const std::string& words, const std::string& spec, const ModelOptions& options);

}  // namespace deciban
