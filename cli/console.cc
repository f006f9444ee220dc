#include "cli/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <numeric>
#include <sstream>
#include <stdexcept>

#include "reports/display_text.h"

namespace deciban {
namespace {

constexpr std::size_t kGap = 2;  // between columns, as reports/table.cc prints them

std::size_t natural_width(const Table& table) {
  std::size_t total = 0;
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    if (table.columns[c].machine_only) continue;
    std::size_t widest = display_width(table.columns[c].title);
    for (const auto& row : table.rows) {
      if (c < row.size()) widest = std::max(widest, display_width(display_text(row[c].text)));
    }
    total += widest + (total > 0 ? kGap : 0);
  }
  return total;
}

void leave_out_columns(Table& table, std::size_t width, std::span<const std::string_view> least_important) {
  for (const std::string_view key : least_important) {
    if (natural_width(table) <= width) return;
    for (Column& column : table.columns) {
      if (column.key == key) column.machine_only = true;
    }
  }
}

TableFormat format_of_ending(const std::string& file, TableFormat otherwise) {
  const std::string ending = std::filesystem::path(file).extension();
  if (ending == ".md" || ending == ".csv" || ending == ".json" || ending == ".jsonl") {
    return table_format(ending.substr(1));
  }
  return otherwise;
}

}  // namespace

Console::Console(const CommonOptions& options)
    : options_(options),
      format_(table_format(options.format)),
      export_format_(format_of_ending(options.export_file, format_)),
      color_(wants_color(parse_color(options.color), STDERR_FILENO)),
      progress_(!options.quiet && is_terminal(STDERR_FILENO)) {}

void Console::say(std::string_view prefix, std::string_view color, std::string_view text) const {
  std::string line;
  if (!prefix.empty())
    line = color_ ? fmt::format("\033[{}m{}\033[0m ", color, prefix) : fmt::format("{} ", prefix);
  // Names of files and documents may hold anything; nothing of it may reach the terminal as a command.
  const std::string shown = display_text(text);
  if (!is_terminal(STDERR_FILENO)) {
    std::cerr << line << shown << '\n' << std::flush;
    return;
  }
  // Room for the prefix is left on the first line only; later ones are indented.
  const std::string blank(prefix.empty() ? 0 : prefix.size() + 1, ' ');
  for (const std::string& part : wrap(shown, terminal_width(STDERR_FILENO) - blank.size(), kGap)) {
    std::cerr << line << part << '\n';
    line = blank;
  }
  std::cerr << std::flush;
}

void Console::detail(std::string_view text) const {
  if (options_.verbose) say("", "", text);
}
void Console::note(std::string_view text) const {
  if (!options_.quiet) say("", "", text);
}
void Console::warn(std::string_view text) const { say("warning:", "33", text); }
void Console::error(std::string_view text) const { say("error:", "31", text); }

bool Console::one_table_only() const {
  return !options_.export_file.empty() || (format_ != TableFormat::table && format_ != TableFormat::markdown);
}

std::string Console::render(const Table& table, TableFormat format,
                            std::span<const std::string_view> least_important) const {
  std::ostringstream text;
  if (format != TableFormat::table) {
    print(text, table, format);
    return text.str();
  }
  Table fitted = table;
  const std::size_t width = terminal_width(STDOUT_FILENO);
  leave_out_columns(fitted, width, least_important);
  fitted.notes.clear();
  for (const std::string& note : table.notes) {
    for (std::string& line : wrap(note, width, kGap)) fitted.notes.push_back(std::move(line));
  }
  print(text, fitted, format, width);
  return text.str();
}

void Console::print_table(Table table, std::span<const std::string_view> least_important) const {
  std::cout << render(table, format_, least_important) << std::flush;
  if (!std::cout)
    throw std::runtime_error(fmt::format("standard output cannot be written: {}", std::strerror(errno)));
}

void Console::show(Table table, std::span<const std::string_view> least_important) const {
  print_table(table, least_important);
  if (options_.export_file.empty()) return;
  std::ofstream file(options_.export_file, std::ios::binary);
  file << render(table, export_format_, least_important) << std::flush;
  if (!file)
    throw std::runtime_error(
        fmt::format("{}: cannot be written: {}", options_.export_file, std::strerror(errno)));
}

}  // namespace deciban
