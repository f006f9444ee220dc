#include "cli/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "reports/display_text.h"

namespace deciban {
namespace {

constexpr std::size_t kWidthOfFiles = 100;
constexpr std::size_t kNarrowest = 40;

}  // namespace

ColorWhen parse_color(const std::string& word) {
  if (word == "auto") return ColorWhen::automatic;
  if (word == "always") return ColorWhen::always;
  if (word == "never") return ColorWhen::never;
  throw std::invalid_argument(fmt::format("--color '{}': must be auto, always or never", word));
}

bool is_terminal(int file) { return ::isatty(file) == 1; }

std::size_t terminal_width(int file) {
  winsize size{};
  if (::ioctl(file, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    return std::max<std::size_t>(size.ws_col, kNarrowest);
  if (const char* columns = std::getenv("COLUMNS")) {
    const long value = std::strtol(columns, nullptr, 10);
    if (value > 0) return std::max(static_cast<std::size_t>(value), kNarrowest);
  }
  return kWidthOfFiles;
}

bool wants_color(ColorWhen when, int file) {
  if (when != ColorWhen::automatic) return when == ColorWhen::always;
  const char* none = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  if (none && *none) return false;
  if (term && std::string_view(term) == "dumb") return false;
  return is_terminal(file);
}

std::vector<std::string> wrap(std::string_view text, std::size_t width, std::size_t indent) {
  std::vector<std::string> lines;
  std::string line;
  std::size_t used = 0;
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
    const std::size_t columns = display_width(word);
    if (used > indent && used + 1 + columns > width) {
      lines.push_back(std::exchange(line, std::string(indent, ' ')));
      used = indent;
    }
    if (used > (lines.empty() ? 0 : indent)) {
      line += ' ';
      ++used;
    }
    line += word;
    used += columns;
  }
  if (used > 0) lines.push_back(line);
  return lines;
}

std::string clock_time(double seconds) {
  const auto whole = static_cast<long long>(std::ceil(std::max(seconds, 0.0)));
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string byte_count(double bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < std::size(kUnits)) bytes /= 1000, ++unit;
  return fmt::format("{:.{}f} {}", bytes,
                     unit == 0 || bytes >= 99.95 ? 0
                     : bytes >= 9.995            ? 1
                                                 : 2,
                     kUnits[unit]);
}

}  // namespace deciban
