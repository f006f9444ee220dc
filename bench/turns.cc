#include "bench/turns.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <utility>

namespace deciban {
namespace {

constexpr char kFine = '+', kFailed = '-';

void write_line(int file, const std::string& line) {
  const std::string text = line + '\n';
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(file, text.data() + at, text.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      throw std::runtime_error(std::string("cannot write to the benchmark's process: ") +
                               std::strerror(errno));
    at += static_cast<std::size_t>(n);
  }
}

// False at the end of the file.
bool read_line(int file, std::string& line) {
  line.clear();
  for (char c;;) {
    const ssize_t n = ::read(file, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    if (c == '\n') return true;
    line += c;
  }
}

[[noreturn]] void serve(int in, int out, const std::function<std::string(const std::string&)>& answer) {
  for (std::string line; read_line(in, line);) {
    std::string reply;
    try {
      reply = kFine + answer(line);
    } catch (const std::exception& e) {
      reply = kFailed + std::string(e.what());
    }
    for (char& c : reply) {
      if (c == '\n') c = ' ';
    }
    write_line(out, reply);
  }
  ::_exit(0);
}

}  // namespace

Turn::Turn(const std::function<std::string(const std::string&)>& answer) {
  int asked[2], answered[2];
  // Close-on-exec does nothing for a fork: later children also hold the ends of earlier ones, which end at
  // kill().
  if (::pipe2(asked, O_CLOEXEC) != 0) throw std::runtime_error(std::string("pipe: ") + std::strerror(errno));
  if (::pipe2(answered, O_CLOEXEC) != 0) {
    const std::string why = std::strerror(errno);
    ::close(asked[0]);
    ::close(asked[1]);
    throw std::runtime_error("pipe: " + why);
  }
  std::signal(SIGPIPE, SIG_IGN);
  child_ = ::fork();
  if (child_ == 0) {
    ::close(asked[1]);
    ::close(answered[0]);
    try {
      serve(asked[0], answered[1], answer);
    } catch (...) {
      ::_exit(1);  // the parent is gone
    }
  }
  const int failed = errno;
  ::close(asked[0]);
  ::close(answered[1]);
  to_ = asked[1];
  from_ = answered[0];
  if (child_ < 0) {
    ::close(to_);
    ::close(from_);
    throw std::runtime_error(std::string("fork: ") + std::strerror(failed));
  }
}

Turn::Turn(Turn&& other) noexcept
    : child_(std::exchange(other.child_, -1)),
      to_(std::exchange(other.to_, -1)),
      from_(std::exchange(other.from_, -1)) {}

Turn::~Turn() {
  if (child_ < 0) return;
  ::close(to_);
  ::close(from_);
  ::kill(child_, SIGKILL);
  ::waitpid(child_, nullptr, 0);
}

std::string Turn::ask(const std::string& line) {
  write_line(to_, line);
  std::string reply;
  if (!read_line(from_, reply)) throw std::runtime_error("the benchmark's process died (out of memory?)");
  if (reply.empty() || reply[0] != kFine)
    throw std::runtime_error(reply.empty() ? "no answer" : reply.substr(1));
  return reply.substr(1);
}

}  // namespace deciban
