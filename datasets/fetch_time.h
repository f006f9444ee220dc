// Time as fetching sees it: a clock that tests can replace, waits that can be stopped, and calendar dates.
#pragma once

#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace deciban {

// The user asked to stop.  What was fetched is kept in the ledger.
struct FetchStopped : std::runtime_error {
  FetchStopped() : std::runtime_error("stopped; the same command goes on where it was") {}
};

// Asked often while something is waited for; true ends the wait with FetchStopped.  May be empty.
using StopCheck = std::function<bool()>;

class Clock {
 public:
  using Time = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;
  virtual ~Clock() = default;
  virtual Time now() const = 0;
  virtual void sleep(std::chrono::milliseconds duration) = 0;
  // The machine's.
  static Clock& system();
};

// Sleeps in short pieces.  Throws FetchStopped as soon as `stop` says so.
void wait(Clock& clock, std::chrono::milliseconds duration, const StopCheck& stop);

using Minute = std::chrono::sys_time<std::chrono::minutes>;

// "2025-01-31", or "2025-01" which becomes its first day.  Throws std::invalid_argument naming the word.
std::chrono::sys_days parse_date(std::string_view word);
// As parse_date(), but "2025-01" becomes the last day of the month.
std::chrono::sys_days parse_last_date(std::string_view word);
std::string iso_date(std::chrono::sys_days day);  // "2025-01-31"
std::string compact_minute(Minute minute);        // "202501312359", as arXiv's submittedDate wants it

}  // namespace deciban
