#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>

#include "cli/gate.h"
#include "cli/machine.h"
#include "cli/suggest.h"
#include "deciban_version.h"

namespace deciban {
namespace {

void write_file(const std::string& path, const std::string& text, bool append) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  std::error_code ignored;  // what is wrong with the folder is said of the file
  if (!parent.empty()) std::filesystem::create_directories(parent, ignored);
  std::ofstream file(path, append ? std::ios::binary | std::ios::app : std::ios::binary);
  file << text;
  file.close();
  if (!file) throw std::runtime_error(fmt::format("{}: cannot be written", path));
}

const char* github_summary_file() {
  const char* path = std::getenv("GITHUB_STEP_SUMMARY");
  return path && *path ? path : nullptr;
}

}  // namespace

void check_output_options(const GateOutput& output) {
  if (output.annotations != "none" && output.annotations != "github") {
    const std::array<std::string, 2> known{"none", "github"};
    throw std::invalid_argument(fmt::format("unknown annotations '{}' (known: none, github){}",
                                            output.annotations, did_you_mean(output.annotations, known)));
  }
  if (output.github_summary && !github_summary_file())
    throw std::invalid_argument(
        "--github-summary: $GITHUB_STEP_SUMMARY is not set; elsewhere use --summary FILE");
  if (!output.history.empty() && std::filesystem::exists(output.history) &&
      !std::filesystem::is_directory(output.history))
    throw std::invalid_argument(fmt::format("--history {}: is a file, not a directory", output.history));
}

int finish_gate(const std::vector<GateCheck>& checks, const std::vector<Table>& tables,
                const std::string& title, GateRun run, const GateOutput& output, const Console& console) {
  for (const Table& table : tables) {
    constexpr std::array<std::string_view, 11> kLeastImportant{
        "mean_ulps", "p99_ulps",       "max_ulps",      "regret_nats", "mean_share", "p_faster",
        "samples",   "before_seconds", "after_seconds", "p_slower",    "interval"};
    console.show(table, kLeastImportant);
    if (console.one_table_only()) break;
  }
  if (!output.junit.empty()) write_file(output.junit, to_junit(checks, "deciban gate"), false);
  const std::string markdown = to_markdown(checks, title, tables);
  if (!output.summary.empty()) write_file(output.summary, markdown, false);
  if (output.github_summary) write_file(github_summary_file(), markdown + "\n", true);
  // GitHub reads workflow commands from either stream; stdout is the table's.
  if (output.annotations == "github") print_github_annotations(std::cerr, checks, title);
  const GateCounts counts = count(checks);
  if (!output.history.empty()) {
    run.when = utc_now();
    run.version = DECIBAN_VERSION;
    run.commit = DECIBAN_COMMIT;
    run.machine = this_machine().cpu;
    run.counts = counts;
    std::copy_if(checks.begin(), checks.end(), std::back_inserter(run.failed),
                 [](const GateCheck& check) { return check.outcome == GateCheck::Outcome::failed; });
    append_gate(output.history, run);
  }
  if (counts.failed > 0) {
    console.error(fmt::format("{}: {}", title, in_words(counts)));
    return kRegression;
  }
  console.note(fmt::format("{}: {}", title, in_words(counts)));
  return kDone;
}

}  // namespace deciban
