// What a gate run found, in the forms that CI systems read: JUnit XML, GitHub annotations, Markdown; and the
// tables of its parts.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "reports/speed_verdict.h"
#include "reports/table.h"

namespace deciban {

// One thing that was checked.
struct GateCheck {
  enum class Outcome { passed, unclear, failed };
  std::string group;  // "speed", "operations", "models", …
  std::string name;
  Outcome outcome = Outcome::unclear;
  std::string message;  // why it failed or is unclear; what was found, in words
};

// Checks of speed verdicts: slower fails, unclear stays unclear, the rest passes.
std::vector<GateCheck> checks_of(const std::vector<SpeedResult>& results);

struct GateCounts {
  std::size_t passed = 0, unclear = 0, failed = 0;
};
GateCounts count(const std::vector<GateCheck>& checks);
// "3 of 40 checks failed, 1 is unclear".
std::string in_words(const GateCounts& counts);

// A test suite for each group; unclear checks are skipped tests.
std::string to_junit(const std::vector<GateCheck>& checks, const std::string& suite);

// GitHub's workflow commands: an error for each failed check, a notice with the counts.
void print_github_annotations(std::ostream& out, const std::vector<GateCheck>& checks,
                              const std::string& title);

// A heading with the counts, the failed checks, and the tables.
std::string to_markdown(const std::vector<GateCheck>& checks, const std::string& title,
                        const std::vector<Table>& tables);

// One row a case, the slowest first within each verdict.
Table speed_table(const std::vector<SpeedResult>& results);

}  // namespace deciban
