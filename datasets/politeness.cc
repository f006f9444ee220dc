#include "datasets/politeness.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "datasets/http_client.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

// Longer than any server may ask for; what lies further ahead was written by a clock that was wrong.
constexpr milliseconds kLongestQuiet = std::chrono::hours(1);

[[noreturn]] void fail(const fs::path& file, const char* what) {
  throw std::runtime_error(
      fmt::format("{}: {}: {}; it keeps the pause between requests (XDG_CACHE_HOME moves it)", file.string(),
                  what, std::strerror(errno)));
}

bool of_arxiv(const std::string& url) {
  const std::string host = host_of(url);
  return host == "arxiv.org" || host.ends_with(".arxiv.org");
}

}  // namespace

fs::path user_cache_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache) return fs::path(cache) / "deciban";
  if (const char* home = std::getenv("HOME"); home && *home) return fs::path(home) / ".cache/deciban";
  throw std::runtime_error("neither XDG_CACHE_HOME nor HOME is set: there is no place for what was fetched");
}

milliseconds pause_before(const std::string& url, milliseconds wanted) {
  return of_arxiv(url) ? std::max(wanted, milliseconds(3'000)) : wanted;
}

milliseconds quiet_after(const std::string& url, long status) {
  return of_arxiv(url) && status == 403 ? milliseconds(60'000) : milliseconds(0);
}

RequestGate::RequestGate(const fs::path& file, Clock& clock, StopCheck stop)
    : file_(file), clock_(clock), stop_(std::move(stop)) {
  std::error_code ignored;  // open() will say it
  fs::create_directories(file.parent_path(), ignored);
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail(file_, "can't be opened");
}

RequestGate::~RequestGate() { ::close(descriptor_); }

RequestGate::Times RequestGate::read() const {
  char text[64] = "";
  const ssize_t size = ::pread(descriptor_, text, sizeof text - 1, 0);
  if (size < 0) fail(file_, "can't be read");
  long long last = 0, quiet = 0;
  std::sscanf(text, "%lld %lld", &last, &quiet);  // an empty or damaged file: no request yet
  return {Clock::Time(milliseconds(last)), Clock::Time(milliseconds(quiet))};
}

void RequestGate::write(const Times& times) const {
  // Of fixed width: a shorter text never leaves the end of a longer one behind.
  const std::string text = fmt::format("{:020} {:020}\n", times.last.time_since_epoch().count(),
                                       times.quiet_until.time_since_epoch().count());
  if (::pwrite(descriptor_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    fail(file_, "can't be written");
}

RequestGate::Turn RequestGate::enter(milliseconds interval) {
  // Not a blocking lock: a signal has to end the wait.
  while (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) fail(file_, "can't be locked");
    wait(clock_, milliseconds(20), stop_);
  }
  Turn turn(*this);  // unlocks whatever happens below
  Times times = read();
  const Clock::Time now = clock_.now();
  milliseconds left{0};
  // A last request in the future means that the clock was set back; then the whole pause is kept.
  left = std::clamp(times.last + interval - now, milliseconds(0), interval);
  if (times.quiet_until - now <= kLongestQuiet) left = std::max(left, times.quiet_until - now);
  if (left.count() > 0) wait(clock_, left, stop_);
  times.last = clock_.now();
  write(times);
  return turn;
}

RequestGate::Turn::Turn(Turn&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
RequestGate::Turn::~Turn() {
  if (gate_) ::flock(gate_->descriptor_, LOCK_UN);
}

void RequestGate::Turn::hold_off(milliseconds duration) {
  Times times = gate_->read();
  times.quiet_until = std::max(times.quiet_until, gate_->clock_.now() + std::min(duration, kLongestQuiet));
  gate_->write(times);
}

}  // namespace deciban
