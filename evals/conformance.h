// Whether a model keeps the promises of engine/lm.h: checks that need no reference, for models of any origin.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/lm.h"

namespace deciban {

enum class CheckOutcome { passed, failed, skipped };

struct ConformanceCheck {
  std::string name;  // "sum of probabilities", …
  CheckOutcome outcome = CheckOutcome::skipped;
  double figure = 0;  // what was measured, in `unit`
  double limit = 0;   // what it may be
  std::string unit;   // "nats", "bytes", …; empty: there is no figure
  std::string text;   // what was found, or why it was skipped
};

struct ConformanceOptions {
  std::size_t tokens = 96;    // of the longest sequence that is scored
  std::size_t lockstep = 48;  // steps of a batch
};

// Runs all checks on one model; a check that throws has failed, with the reason in its text.  What each does
// stands in docs/plugins.md.  `observer`, if given, is called after each.
std::vector<ConformanceCheck> check_conformance(
    LanguageModel& model, const ConformanceOptions& options = {},
    const std::function<void(const ConformanceCheck&)>& observer = {});

}  // namespace deciban
