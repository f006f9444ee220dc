// deciban import: results of other programs → a run's directory, for report and compare.
#pragma once

#include <string>
#include <vector>

#include "cli/console.h"

namespace deciban {

// The command's options, as words.
struct ImportOptions {
  std::vector<std::string> files;
  std::string output, label;
};

// Returns the exit code.  Throws std::invalid_argument for options that make no sense, std::runtime_error for
// what fails.
int import_results(const ImportOptions& options, const Console& console);

}  // namespace deciban
