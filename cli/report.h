// deciban report: records of any number of runs → one HTML page, or a table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/console.h"

namespace deciban {

// The command's options, as words.
struct ReportCommand {
  std::vector<std::string> runs, corpora, documents, published;
  std::string output, title, table = "leaderboard";
  std::uint64_t seed = 1;
  bool list_published = false;
};

// Returns the exit code.  Throws std::invalid_argument for options that make no sense, std::runtime_error for
// what fails.
int report(const ReportCommand& options, const Console& console);

}  // namespace deciban
