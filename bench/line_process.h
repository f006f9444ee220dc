// A program that answers lines with lines, as a child process: the gate's two builds take turns this way.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <string>
#include <vector>

namespace deciban {

class LineProcess {
 public:
  // Starts `command` (a program's path and its arguments); its standard error is ours.  `cpu` >= 0 ties it to
  // that processor if the system lets it.  Throws std::runtime_error if it cannot be started.
  explicit LineProcess(const std::vector<std::string>& command, int cpu = -1);
  ~LineProcess();  // closes its input and, if it does not end at once, ends it
  LineProcess(const LineProcess&) = delete;
  LineProcess& operator=(const LineProcess&) = delete;

  // Sends a line and returns the line that it answers.  Throws std::runtime_error if the process ended, took
  // longer than `limit_seconds`, or `stop` (may be null) became true.
  std::string ask(const std::string& line, double limit_seconds, const std::atomic<bool>* stop);

 private:
  [[noreturn]] void fail(const std::string& what) const;

  std::string program_;
  pid_t child_ = -1;
  int to_ = -1, from_ = -1;
  std::string pending_;  // read and not yet returned
};

// The processors that this process may run on.
std::vector<int> usable_cpus();

}  // namespace deciban
