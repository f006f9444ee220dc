// How far a fetch is and how long it still takes, on one line of the terminal.
#pragma once

#include <chrono>
#include <string>

#include "cli/console.h"
#include "datasets/fetch_source.h"

namespace deciban {

// "papers  12/100  0:08:48 left", at most `width` columns.
std::string fetch_progress_text(const FetchProgress& now, const std::string& delay, std::size_t width);

// Draws the line on stderr where progress is shown, and wipes it at the end.  A fetch that will take more
// than two minutes is announced with its time, once, unless -q.
class FetchProgressLine : public FetchObserver {
 public:
  explicit FetchProgressLine(const Console& console) : console_(console) {}
  ~FetchProgressLine() override { wipe(); }
  void progress(const FetchProgress& now) override;
  void note(const std::string& text) override;
  // A longer wait begins; shown until the next progress.
  void delay(const std::string& reason);
  void wipe();

 private:
  void draw();
  const Console& console_;
  FetchProgress now_;
  std::string delay_;
  bool drawn_ = false, announced_ = false;
};

}  // namespace deciban
