#include "datasets/fetch_time.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace deciban {
namespace {

using std::chrono::milliseconds;

class SystemClock : public Clock {
 public:
  Time now() const override {
    return std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now());
  }
  void sleep(milliseconds duration) override { std::this_thread::sleep_for(duration); }
};

bool all_digits(std::string_view word) {
  return std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

int number(std::string_view digits) {
  int value = 0;
  for (const char c : digits) value = value * 10 + (c - '0');
  return value;
}

// Year, month and day; the day is `otherwise` if the word has none.
std::chrono::sys_days parse(std::string_view word, bool last_day) {
  using namespace std::chrono;
  const bool month_only = word.size() == 7;
  if ((month_only || (word.size() == 10 && word[7] == '-' && all_digits(word.substr(8)))) && word[4] == '-' &&
      all_digits(word.substr(0, 4)) && all_digits(word.substr(5, 2))) {
    const year_month ym = year(number(word.substr(0, 4))) / number(word.substr(5, 2));
    const year_month_day date = !month_only ? ym / number(word.substr(8))
                                : last_day  ? year_month_day(ym / std::chrono::last)
                                            : ym / 1;
    if (date.ok()) return date;
  }
  throw std::invalid_argument(
      fmt::format("'{}' is not a date; write 2025-01-31, or 2025-01 for a month", word));
}

}  // namespace

Clock& Clock::system() {
  static SystemClock clock;
  return clock;
}

void wait(Clock& clock, milliseconds duration, const StopCheck& stop) {
  constexpr milliseconds kPiece{100};
  const Clock::Time start = clock.now();
  // Counted as well as read from the clock: one that is set back must not make the wait endless.
  for (milliseconds slept{0}; slept < duration && clock.now() - start < duration;) {
    if (stop && stop()) throw FetchStopped();
    const milliseconds piece = std::min(kPiece, duration - slept);
    clock.sleep(piece);
    slept += piece;
  }
  if (stop && stop()) throw FetchStopped();
}

std::chrono::sys_days parse_date(std::string_view word) { return parse(word, false); }
std::chrono::sys_days parse_last_date(std::string_view word) { return parse(word, true); }

std::string iso_date(std::chrono::sys_days day) {
  const std::chrono::year_month_day date(day);
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

std::string compact_minute(Minute minute) {
  const auto day = std::chrono::floor<std::chrono::days>(minute);
  const std::chrono::year_month_day date(day);
  const auto minutes = (minute - day).count();
  return fmt::format("{:04}{:02}{:02}{:02}{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), minutes / 60,
                     minutes % 60);
}

}  // namespace deciban
