// What this machine can do at best: bytes per second from memory and multiply-adds per second of each
// instruction set, measured in a few seconds.  Benchmarks report their share of it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/ops.h"

namespace deciban {

// Rates of repeated measurements.
struct Rate {
  double median = 0, low = 0, high = 0;
};

// Calls `sample`, which returns one measured rate, until the best five of all lie within 2 % of each other or
// the budget (seconds) is spent, at least seven times.  What disturbs a measurement only makes it slower, so
// `median` is that of the best five; `low` and `high` span all.
Rate settle(const std::function<double()>& sample, double budget);

// The median and the range of some rates as they are.
Rate summarise(std::vector<double> rates);

// The arithmetic of some cores with one instruction, from independent accumulators in registers.  A
// multiply-add counts two operations, whatever the operands' format.
struct Peak {
  std::string_view instruction;  // "vfmadd231ps zmm"
  Rate gflops;
};

class Roofline {
 public:
  // Measures every instruction that this CPU has, and reading, with 1 … threads threads at the same time.
  explicit Roofline(int threads);

  // Of every instruction with so many threads together (at most those measured).
  const std::vector<Peak>& peaks(int threads = 1) const;
  // GB/s with so many threads (at most those measured); each reads memory of its own, far beyond the caches.
  const Rate& bandwidth(int threads) const;
  // The peak of the instruction that a kernel table multiplies with in a numeric mode; for operations without
  // weights ask for mode f32.  GFLOP/s of all threads together.
  const Peak& peak(std::string_view kernels, NumericMode mode, int threads = 1) const;
  // Seconds that work must take at least: arithmetic or reading, whichever is longer.
  double seconds(std::string_view kernels, NumericMode mode, double flops, double bytes, int threads) const;

 private:
  std::vector<std::vector<Peak>> peaks_;  // [threads - 1]
  std::vector<Rate> bandwidth_;           // [threads - 1]
};

}  // namespace deciban
