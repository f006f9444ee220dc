#include "cli/fetch_progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "cli/terminal.h"
#include "reports/display_text.h"

namespace deciban {

std::string fetch_progress_text(const FetchProgress& now, const std::string& delay, std::size_t width) {
  std::vector<std::string> parts{
      shorten_middle(display_text(now.stage), width / 3),
      now.total > 0 ? fmt::format("{}/{}", now.done, now.total) : fmt::format("{}", now.done)};
  if (now.seconds_left >= 0.5) parts.push_back(clock_time(now.seconds_left) + " left");
  if (!delay.empty()) parts.push_back(shorten_middle(display_text(delay), width / 2));
  std::string line;
  for (const std::string& part : parts) {
    if (!line.empty() && display_width(line) + 2 + display_width(part) > width) break;
    line += (line.empty() ? "" : "  ") + part;
  }
  return line;
}

void FetchProgressLine::progress(const FetchProgress& now) {
  now_ = now;
  delay_.clear();
  if (!announced_ && now.total > 0 && now.seconds_left >= 120 && !now.stage.starts_with("listing")) {
    announced_ = true;
    const double minutes = now.seconds_left / 60;
    note(fmt::format(
        "this takes about {}; stopped at any point, the same command goes on",
        minutes < 90 ? fmt::format("{:.0f} minutes", minutes) : fmt::format("{:.1f} hours", minutes / 60)));
  }
  draw();
}

void FetchProgressLine::note(const std::string& text) {
  wipe();
  console_.note(text);
}

void FetchProgressLine::delay(const std::string& reason) {
  delay_ = reason;
  if (!console_.shows_progress()) console_.detail(reason);
  draw();
}

void FetchProgressLine::wipe() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

void FetchProgressLine::draw() {
  if (!console_.shows_progress()) return;
  const std::string text = fetch_progress_text(now_, delay_, terminal_width(STDERR_FILENO) - 1);
  std::fprintf(stderr, "\r%s\033[K", text.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace deciban
