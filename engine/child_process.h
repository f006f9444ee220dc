// A program that is spoken to in lines: its standard input and output are ours, its standard error goes on to
// ours with its name in front.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

namespace deciban {

// The program ended, hung, or broke the rules of lines.  The text says which, and what it last said on its
// standard error.
struct ProgramFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Any thread may call any function.  Ends the program when destroyed: first it sees the end of its input,
// then it and what it started are terminated, then killed.
class ChildProcess {
 public:
  using Seconds = std::chrono::duration<double>;

  // Runs `command` with /bin/sh in a process group of its own, so that a Ctrl-C is ours to handle.  `name`
  // stands before its lines on our standard error and in messages.  Throws std::runtime_error if it cannot be
  // started.
  ChildProcess(const std::string& command, std::string name, std::size_t longest_line);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Writes `line` and a line end.  Throws ProgramFailure if the program has ended, or does not read for
  // `patience`; then it is killed.
  void write_line(std::string_view line, Seconds patience);

  // The next line of its output, without its end.  Throws ProgramFailure at its end, for a line longer than
  // the longest, and when nothing comes for `patience`; then it is killed.
  std::string read_line(Seconds patience);

  // Kills it, if it still runs, and throws ProgramFailure with `what` and its last words.
  [[noreturn]] void give_up(const std::string& what);

  bool ended() const;

 private:
  void read_output();
  void forward_errors();
  void kill_group(int signal) const;
  std::string last_words() const;
  std::string how_it_ended();

  const std::string name_;
  const std::size_t longest_line_;
  pid_t process_ = -1;
  int input_ = -1, output_ = -1, errors_ = -1;
  mutable std::mutex mutex_;
  std::mutex writing_;
  std::condition_variable changed_;
  std::deque<std::string> lines_;
  std::size_t lines_bytes_ = 0;
  bool at_end_ = false;           // of its output
  std::string failure_;           // of its output: a line too long
  std::optional<int> status_;     // once it was waited for
  std::deque<std::string> said_;  // the last lines of its standard error
  std::thread output_reader_, error_reader_;
};

}  // namespace deciban
