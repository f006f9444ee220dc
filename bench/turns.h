// Processes that take turns: each holds one configuration of a benchmark (a model in one mode with its
// threads), so that repeats can be interleaved while every configuration has memory and a thread pool of its
// own.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

namespace deciban {

// A child process that answers lines with lines.  Make all of them before the program starts threads or
// measures.
class Turn {
 public:
  // Forks; in the child, `answer` is called for each line asked, until the parent ends.  What it throws is
  // thrown again by ask().
  explicit Turn(const std::function<std::string(const std::string& line)>& answer);
  ~Turn();  // ends the child
  Turn(Turn&& other) noexcept;
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  // Blocks until the child has answered.  Throws std::runtime_error with the child's words, or if it died.
  std::string ask(const std::string& line);

 private:
  pid_t child_ = -1;
  int to_ = -1, from_ = -1;
};

}  // namespace deciban
