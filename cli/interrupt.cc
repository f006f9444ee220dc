#include "cli/interrupt.h"

#include <unistd.h>

#include <csignal>

#include "cli/console.h"

namespace deciban {
namespace {

std::atomic<bool> stop = false;
static_assert(std::atomic<bool>::is_always_lock_free, "signal handlers may use nothing else");

void handle(int) {
  if (stop.exchange(true)) ::_exit(kInterrupted);  // records are flushed one by one: nothing is lost
  constexpr char kText[] = "\nstopping: what has begun is finished; once more to stop at once\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kText, sizeof kText - 1);
}

}  // namespace

const std::atomic<bool>& interrupted() { return stop; }

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

}  // namespace deciban
