#include "engine/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace deciban {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t kLastWords = 3;            // lines of standard error kept for messages
constexpr std::size_t kLongestErrorLine = 2000;  // longer ones are cut
constexpr auto kGraceToEnd = 3s, kGraceToTerminate = 2s;

struct Pipe {
  int read = -1, write = -1;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
      throw std::runtime_error(fmt::format("no pipe to a program: {}", std::strerror(errno)));
    }
    read = ends[0];
    write = ends[1];
  }
};

int milliseconds_until(Clock::time_point end) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, 60'000));
}

// Writing to a program that has ended must not kill us: the signal is held back in this thread and taken
// away.
class WithoutSigpipe {
 public:
  WithoutSigpipe() {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~WithoutSigpipe() {
    const timespec none{};
    while (::sigtimedwait(&pipe_, nullptr, &none) > 0) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{}, before_{};
};

}  // namespace

ChildProcess::ChildProcess(const std::string& command, std::string name, std::size_t longest_line)
    : name_(std::move(name)), longest_line_(longest_line) {
  const Pipe in, out, err;
  process_ = ::fork();
  if (process_ < 0) throw std::runtime_error(fmt::format("{}: cannot fork: {}", name_, std::strerror(errno)));
  if (process_ == 0) {
    ::setpgid(0, 0);
    ::dup2(in.read, STDIN_FILENO);
    ::dup2(out.write, STDOUT_FILENO);
    ::dup2(err.write, STDERR_FILENO);
    ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  ::setpgid(process_, process_);  // by whoever comes first
  ::close(in.read);
  ::close(out.write);
  ::close(err.write);
  input_ = in.write;
  output_ = out.read;
  errors_ = err.read;
  ::fcntl(input_, F_SETFL, O_NONBLOCK);
  output_reader_ = std::thread([this] { read_output(); });
  error_reader_ = std::thread([this] { forward_errors(); });
}

ChildProcess::~ChildProcess() {
  {
    const std::lock_guard lock(writing_);
    ::close(input_);
    input_ = -1;
  }
  // What it started may hold its output open: the group ends with it.
  const auto wait_for = [&](auto grace) {
    const auto end = Clock::now() + grace;
    while (!ended() && Clock::now() < end) std::this_thread::sleep_for(5ms);
    return ended();
  };
  if (!wait_for(kGraceToEnd)) kill_group(SIGTERM);
  if (!wait_for(kGraceToTerminate)) kill_group(SIGKILL);
  how_it_ended();
  kill_group(SIGKILL);
  output_reader_.join();
  error_reader_.join();
  ::close(output_);
  ::close(errors_);
}

void ChildProcess::kill_group(int signal) const { ::kill(-process_, signal); }

bool ChildProcess::ended() const {
  const std::lock_guard lock(mutex_);
  if (status_) return true;
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == process_;
}

std::string ChildProcess::how_it_ended() {
  const std::lock_guard lock(mutex_);
  if (!status_) {
    int status = 0;
    while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
    status_ = status;
    changed_.notify_all();
  }
  if (WIFSIGNALED(*status_)) {
    return fmt::format("was ended by signal {} ({})", WTERMSIG(*status_), ::strsignal(WTERMSIG(*status_)));
  }
  const int code = WEXITSTATUS(*status_);
  if (code > 128 && code < 128 + NSIG) {  // what the shell makes of it
    return fmt::format("was ended by signal {} ({})", code - 128, ::strsignal(code - 128));
  }
  if (code == 127) return "could not be run (exit code 127: no such command)";
  return fmt::format("ended with exit code {}", code);
}

std::string ChildProcess::last_words() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const std::string& line : said_) text += (text.empty() ? "" : " / ") + line;
  return text.empty() ? "" : fmt::format("; it last said: {}", text);
}

void ChildProcess::give_up(const std::string& what) {
  kill_group(SIGKILL);
  how_it_ended();
  throw ProgramFailure(fmt::format("{} {}{}", name_, what, last_words()));
}

void ChildProcess::write_line(std::string_view line, Seconds patience) {
  const std::string text = std::string(line) + '\n';
  const std::lock_guard lock(writing_);
  const WithoutSigpipe quiet;
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(patience);
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(input_, text.data() + at, text.size() - at);
    if (n > 0) {
      at += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      pollfd file{input_, POLLOUT, 0};
      if (Clock::now() >= end) give_up(fmt::format("did not read its input for {} s", patience.count()));
      ::poll(&file, 1, milliseconds_until(end));
    } else if (errno != EINTR) {
      // It reads no more; perhaps it is just ending.
      for (int i = 0; i < 100 && !ended(); ++i) std::this_thread::sleep_for(5ms);
      if (!ended()) give_up("closed its input");
      throw ProgramFailure(fmt::format("{} {}{}", name_, how_it_ended(), last_words()));
    }
  }
}

std::string ChildProcess::read_line(Seconds patience) {
  std::unique_lock lock(mutex_);
  const bool came =
      changed_.wait_for(lock, patience, [&] { return !lines_.empty() || at_end_ || !failure_.empty(); });
  if (!lines_.empty()) {
    std::string line = std::move(lines_.front());
    lines_.pop_front();
    lines_bytes_ -= line.size();
    changed_.notify_all();
    return line;
  }
  const std::string failure = failure_;
  lock.unlock();
  if (!came) give_up(fmt::format("did not answer within {} s", patience.count()));
  if (!failure.empty()) give_up(failure);
  for (int i = 0; i < 200 && !ended(); ++i) std::this_thread::sleep_for(5ms);
  if (!ended()) give_up("closed its output");
  std::this_thread::sleep_for(20ms);  // its last words may still be on their way
  throw ProgramFailure(fmt::format("{} {}{}", name_, how_it_ended(), last_words()));
}

void ChildProcess::read_output() {
  std::array<char, 1 << 16> buffer;
  std::string line;
  // What nobody reads does not pile up beyond this.
  const std::size_t most_waiting = 2 * longest_line_;
  while (true) {
    const ssize_t n = ::read(output_, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    std::string_view rest(buffer.data(), static_cast<std::size_t>(n));
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      line.append(rest.substr(0, end));
      if (line.size() > longest_line_) {
        const std::lock_guard lock(mutex_);
        failure_ = fmt::format("printed a line of more than {} bytes", longest_line_);
        changed_.notify_all();
        return;
      }
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return lines_bytes_ <= most_waiting || status_; });
      lines_bytes_ += line.size();
      lines_.push_back(std::move(line));
      line.clear();
      changed_.notify_all();
    }
  }
  const std::lock_guard lock(mutex_);
  at_end_ = true;
  changed_.notify_all();
}

void ChildProcess::forward_errors() {
  std::array<char, 4096> buffer;
  std::string line;
  const auto say = [&] {
    if (line.size() > kLongestErrorLine) line.resize(kLongestErrorLine);
    const std::string text = fmt::format("[{}] {}\n", name_, line);
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (!line.empty()) {
      const std::lock_guard lock(mutex_);
      said_.push_back(line);
      if (said_.size() > kLastWords) said_.pop_front();
    }
    line.clear();
  };
  while (true) {
    const ssize_t n = ::read(errors_, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    for (ssize_t i = 0; i < n; ++i) {
      const char c = buffer[static_cast<std::size_t>(i)];
      if (c == '\n' || c == '\r') {
        if (!line.empty()) say();
      } else if (line.size() <= kLongestErrorLine) {
        line.push_back(c);
      }
    }
  }
  if (!line.empty()) say();
}

}  // namespace deciban
