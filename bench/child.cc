#include "bench/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <utility>

extern char** environ;

namespace deciban {
namespace {

class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_, O_CLOEXEC) != 0)
      throw std::runtime_error(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  int end(int i) const { return ends_[i]; }
  void close_end(int i) {
    if (ends_[i] >= 0) ::close(std::exchange(ends_[i], -1));
  }

 private:
  int ends_[2] = {-1, -1};
};

}  // namespace

std::string this_program() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

ChildResult run_child(const std::vector<std::string>& command, const std::string& input, double limit_seconds,
                      const std::atomic<bool>* stop) {
  Pipe in, out;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.end(0), 0);
  posix_spawn_file_actions_adddup2(&actions, out.end(1), 1);
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t child = -1;
  const int error = ::posix_spawn(&child, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    throw std::runtime_error(fmt::format("cannot run {}: {}", command[0], std::strerror(error)));
  in.close_end(0);
  out.close_end(1);

  ChildResult result;
  struct sigaction ignore {
  }, before{};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &before);  // a child that died before it read is seen below
  std::size_t written = 0;
  while (written < input.size()) {
    const ssize_t n = ::write(in.end(1), input.data() + written, input.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    written += static_cast<std::size_t>(n);
  }
  ::sigaction(SIGPIPE, &before, nullptr);
  in.close_end(1);

  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(limit_seconds);
  bool open = true;
  while (open) {
    pollfd ready{out.end(0), POLLIN, 0};
    const int got = ::poll(&ready, 1, 100);
    if (got > 0) {
      char buffer[4096];
      const ssize_t n = ::read(out.end(0), buffer, sizeof buffer);
      if (n > 0) result.output.append(buffer, static_cast<std::size_t>(n));
      open = n > 0 || (n < 0 && errno == EINTR);
    }
    const bool late = Clock::now() > end, stopped = stop && stop->load();
    if (open && (late || stopped)) {
      ::kill(child, SIGKILL);
      result.end = stopped ? ChildResult::End::interrupted : ChildResult::End::timed_out;
      open = false;
    }
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (result.end != ChildResult::End::done) return result;
  if (WIFSIGNALED(status)) {
    result.end = ChildResult::End::killed;
    result.code = WTERMSIG(status);
  } else if (WEXITSTATUS(status) != 0) {
    result.end = ChildResult::End::failed;
    result.code = WEXITSTATUS(status);
  }
  return result;
}

}  // namespace deciban
