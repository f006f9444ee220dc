// The speed of several builds side by side: processes that take turns, in random order, round by round.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/gate_worker.h"

namespace deciban {

// Something that times cases: a process, but in tests.
class Timer {
 public:
  virtual ~Timer() = default;
  // Seconds of a call.  Throws std::runtime_error.
  virtual double time(const TimingRequest& request) = 0;
};

struct RoundOptions {
  int rounds = 30;
  int turns = 2;  // of each side in a round and case; the sample is the fastest
  TimingRequest request;
  std::uint64_t seed = 1;  // of the orders
  const std::atomic<bool>* stop = nullptr;
};

// Samples of one case by side: samples[side][round].
struct CaseSamples {
  std::string name;
  std::vector<std::vector<double>> sides;
};
struct RoundsResult {
  std::vector<CaseSamples> cases;
  bool interrupted = false;
};

// Every round starts a new timer for each side (memory laid out anew, so that no process's luck lasts) and
// measures each case once, in random order; sides alternate within a case as in ABBA, who begins is drawn.
// `start(side, draw)` makes a timer; timers of a round get the same number `draw`.
RoundsResult take_rounds(
    const std::vector<std::string>& cases, std::size_t sides,
    const std::function<std::unique_ptr<Timer>(std::size_t side, std::uint64_t draw)>& start,
    const RoundOptions& options, const std::function<void(int round, int rounds)>& progress);

// Timers that are processes `PROGRAM gate measure-case --threads N`; with one thread tied to one processor,
// another each round.
std::unique_ptr<Timer> process_timer(const std::string& program, int threads, std::uint64_t draw,
                                     const std::atomic<bool>* stop);

// Names of the cases that match the regular expression `pattern` (empty: all), in every place: kernel tables
// of the CPU or a device.  Throws std::invalid_argument for a broken expression and for one that matches
// nothing.
std::vector<std::string> gate_case_names(const std::vector<std::string>& places, const std::string& pattern);
// The CPU's kernel tables, and the one that models use.
std::vector<std::string> kernel_tables();
std::string usual_kernel_table();

// What a build can time.  Throws std::runtime_error if the file is no program or not one of ours.
Hello ask_hello(const std::string& program, const std::atomic<bool>* stop);

}  // namespace deciban
