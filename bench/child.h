// This program once more as a child process, for one question: what it prints, or how it ended.
#pragma once

#include <atomic>
#include <string>
#include <vector>

namespace deciban {

struct ChildResult {
  enum class End { done, failed, killed, timed_out, interrupted };
  End end = End::done;
  int code = 0;        // exit status, or the signal that killed it
  std::string output;  // its standard output
};

// Runs `command` (a path and its arguments) with `input` on its standard input; its standard error is ours. A
// child that runs longer than `limit_seconds`, or while `stop` (may be null) becomes true, is killed.  Throws
// std::runtime_error if it cannot be started.
ChildResult run_child(const std::vector<std::string>& command, const std::string& input, double limit_seconds,
                      const std::atomic<bool>* stop);

// The running program's own file.
std::string this_program();

}  // namespace deciban
