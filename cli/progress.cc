#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "cli/terminal.h"
#include "reports/display_text.h"

namespace deciban {
namespace {

constexpr std::chrono::milliseconds kInterval{100};
constexpr double kSecondsBeforeGuess = 1.0;  // the first moments say little about the time left

}  // namespace

std::string progress_text(const std::string& label, const RunProgress& now, std::size_t width) {
  const std::size_t total = now.documents;
  std::vector<std::string> parts{shorten_middle(display_text(label), width / 3),
                                 fmt::format("{}/{} documents", now.done + now.resumed, total)};
  if (now.seconds >= kSecondsBeforeGuess && now.bytes_done > 0) {
    const double rate = static_cast<double>(now.bytes_done) / now.seconds;
    const double left = static_cast<double>(now.bytes - now.bytes_done) / rate;
    parts.push_back(clock_time(left) + " left");
    parts.push_back(byte_count(rate) + "/s");
    if (now.tokens_done > 0)
      parts.push_back(fmt::format("{:.0f} tok/s", static_cast<double>(now.tokens_done) / now.seconds));
  }
  parts.push_back(fmt::format("{} of {}", byte_count(static_cast<double>(now.bytes_done)),
                              byte_count(static_cast<double>(now.bytes))));
  if (now.failed > 0) parts.insert(parts.begin() + 2, fmt::format("{} failed", now.failed));
  std::string line;
  for (const std::string& part : parts) {
    if (!line.empty() && display_width(line) + 2 + display_width(part) > width) break;
    line += (line.empty() ? "" : "  ") + part;
  }
  return line;
}

ProgressLine::ProgressLine(std::string label, bool shown) : label_(std::move(label)), shown_(shown) {}

ProgressLine::~ProgressLine() {
  if (drawn_) std::fputs("\r\033[K", stderr);
}

void ProgressLine::progress(const RunProgress& now) {
  if (!shown_) return;
  const auto time = std::chrono::steady_clock::now();
  if (time < next_) return;
  next_ = time + kInterval;
  drawn_ = true;
  const std::string text = progress_text(label_, now, terminal_width(STDERR_FILENO) - 1);
  std::fprintf(stderr, "\r%s\033[K", text.c_str());
  std::fflush(stderr);
}

}  // namespace deciban
