// Where a model's time goes: a Backend around another whose Ops note the seconds of every operation.  The
// engine knows nothing of it, so it costs the product nothing.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/ops.h"

namespace deciban {

// Calls, seconds and arithmetic of one kind of operation.
struct OpTime {
  std::string what;  // "linear 768 -> 3072 relu2"
  std::size_t calls = 0;
  double seconds = 0, flops = 0;
};

// How many results of relu² there were, and how many of them were zero.
struct Zeros {
  double zeros = 0, all = 0;
};

// What all Ops of one TimedBackend noted, by kind; any thread may add.
class TimeSheet {
 public:
  void add(const std::string& what, double seconds, double flops);
  void clear();
  void pause(bool paused);  // while paused, nothing is noted
  // Counts the zeros behind relu² too, which takes longer than the operations: times mean nothing then.
  void count_zeros() { counting_ = true; }
  bool counting() const { return counting_; }
  void add_zeros(double zeros, double all);
  Zeros zeros() const;
  std::vector<OpTime> by_seconds() const;  // the longest first

 private:
  mutable std::mutex mutex_;
  bool paused_ = false, counting_ = false;
  Zeros zeros_;
  std::map<std::string, OpTime> entries_;
};

// Everything is `inner`'s but open(), whose Ops write into `sheet` (which must outlive them).
class TimedBackend final : public Backend {
 public:
  TimedBackend(std::unique_ptr<Backend> inner, TimeSheet& sheet);
  std::string device() const override;
  std::string kernels() const override;
  std::unique_ptr<Weight> matrix(const StoredTensor& tensor, NumericMode mode) override;
  std::unique_ptr<Vector> vector(std::span<const float> values) override;
  std::unique_ptr<EmbeddingTable> table(const StoredTensor& tensor) override;
  std::unique_ptr<Ops> open(int threads) override;
  std::uint64_t weight_bytes() const override;
  std::string refusal(NumericMode mode) const override;
  std::string usual_mode(const std::string& stored) const override;

 private:
  std::unique_ptr<Backend> inner_;
  TimeSheet& sheet_;
};

}  // namespace deciban
