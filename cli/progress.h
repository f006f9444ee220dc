// One line on the terminal that says how far a run is, how fast it goes and how long it still takes.
#pragma once

#include <chrono>
#include <string>

#include "evals/run.h"

namespace deciban {

// "rwkv7  37/300 documents  1.2 MB of 2.5 MB  45 kB/s  9 800 tok/s  0:28 left", at most `width` columns: what
// does not fit is left out from the right, the label shortened last.
std::string progress_text(const std::string& label, const RunProgress& now, std::size_t width);

// Draws the line on stderr, at most ten times a second, and wipes it at the end.  Does nothing when not
// shown.
class ProgressLine : public RunObserver {
 public:
  ProgressLine(std::string label, bool shown);
  ~ProgressLine() override;
  void progress(const RunProgress& now) override;

 private:
  const std::string label_;
  const bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace deciban
