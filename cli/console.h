// How the program speaks: results to stdout in the format asked for, everything else to stderr.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "cli/terminal.h"
#include "reports/table.h"

namespace deciban {

// Exit codes of the program.
enum ExitCode : int {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kSomeFailed = 3,
  kRegression = 4,
  kInterrupted = 130
};

// Options that every command has, as words.
struct CommonOptions {
  bool quiet = false, verbose = false;
  std::string color = "auto";
  std::string format = "table";
  std::string export_file;
};

class Console {
 public:
  // Throws std::invalid_argument for unknown words and formats.
  explicit Console(const CommonOptions& options);

  void detail(std::string_view text) const;  // with -v
  void note(std::string_view text) const;    // unless -q
  void warn(std::string_view text) const;
  void error(std::string_view text) const;
  // What is printed or exported is for machines, or one file: it holds one table.
  bool one_table_only() const;
  // Progress may be drawn: stderr is a terminal and -q was not given.
  bool shows_progress() const { return progress_; }

  // Prints to stdout and, with --export, writes the file (its ending decides the format: .md .csv .json
  // .jsonl, else that of --format).  On paper and terminals columns are left out, those named first in
  // `least_important` first, until the table fits.  Throws std::runtime_error if something cannot be written.
  void show(Table table, std::span<const std::string_view> least_important = {}) const;
  // The same to stdout alone, for commands that export something else.
  void print_table(Table table, std::span<const std::string_view> least_important = {}) const;
  // What --export names; empty if it was not given.
  const std::string& export_file() const { return options_.export_file; }

 private:
  std::string render(const Table& table, TableFormat format,
                     std::span<const std::string_view> least_important) const;
  void say(std::string_view prefix, std::string_view color, std::string_view text) const;

  const CommonOptions options_;
  TableFormat format_, export_format_;
  bool color_, progress_;
};

}  // namespace deciban
