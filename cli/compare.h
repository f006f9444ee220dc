// deciban compare: two runs, or two models of one, on the documents that both scored.
#pragma once

#include <string>
#include <vector>

#include "cli/console.h"

namespace deciban {

// The command's options, as words.
struct CompareOptions {
  std::vector<std::string> sides;  // BASE and NEW, each RUN or RUN:MODEL
  std::string task, same_within = "0.5%", fail_if;
  bool across = false;  // also where windows or start tokens differ
  std::uint64_t seed = 1;
};

// Returns the exit code: kRegression with --fail-if where a verdict asks for it.  Throws
// std::invalid_argument for options that make no sense, std::runtime_error for what fails.
int compare(const CompareOptions& options, const Console& console);

}  // namespace deciban
