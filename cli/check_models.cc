#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "cli/info.h"
#include "evals/conformance.h"

namespace deciban {
namespace {

const char* word_of(CheckOutcome outcome) {
  return outcome == CheckOutcome::passed ? "pass" : outcome == CheckOutcome::failed ? "FAIL" : "skip";
}

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Table table_of(const std::string& name, const std::vector<ConformanceCheck>& checks) {
  Table table;
  table.columns = {{"check", "check", false, false}, {"", "outcome", false, false},
                   {"found", "figure", true, false}, {"allowed", "limit", true, false},
                   {"", "unit", false, false},       {"", "text", false, false}};
  std::size_t failed = 0, skipped = 0;
  for (const ConformanceCheck& check : checks) {
    failed += check.outcome == CheckOutcome::failed;
    skipped += check.outcome == CheckOutcome::skipped;
    const auto number = [&](double value) {
      return check.unit.empty() ? Cell{"", "null"}
                                : Cell{fmt::format("{:.2g}", value), fmt::format("{}", value)};
    };
    table.rows.push_back({{check.name, quoted(check.name)},
                          {word_of(check.outcome), quoted(word_of(check.outcome))},
                          number(check.figure),
                          number(check.limit),
                          {check.unit, quoted(check.unit)},
                          {check.text, quoted(check.text)}});
  }
  table.notes.push_back(fmt::format("{}: {} of {} checks passed{}{}", name, checks.size() - failed - skipped,
                                    checks.size(), failed ? fmt::format(", {} failed", failed) : "",
                                    skipped ? fmt::format(", {} skipped", skipped) : ""));
  return table;
}

}  // namespace

int check_models(const std::vector<std::string>& models, const ModelOptions& options,
                 const Console& console) {
  if (models.empty()) throw std::invalid_argument("--check: which model? deciban info --check MODEL");
  if (models.size() > 1 && console.one_table_only()) {
    throw std::invalid_argument(
        "--check: several models make several tables: give one with --export or --format");
  }
  bool failed = false;
  for (const std::string& spec : models) {
    const auto model = open_model(spec, options);
    const std::vector<ConformanceCheck> checks =
        check_conformance(*model, {}, [&](const ConformanceCheck& check) {
          console.detail(fmt::format("{}: {}", check.name, word_of(check.outcome)));
          failed = failed || check.outcome == CheckOutcome::failed;
        });
    constexpr std::string_view kLeast[] = {"unit"};
    console.show(table_of(model->info().name, checks), kLeast);
  }
  return failed ? kFailed : kDone;
}

}  // namespace deciban
