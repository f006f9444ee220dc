// The operations' part of the correctness gate: every case on a backend against its float64 definition, with
// the distribution of the errors and not only whether they pass.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/op_cases.h"

namespace deciban {

// Quantiles of sizes in constant memory: logarithmic bins 1.1 % wide from 2^-64 to 2^64.
class SizeHistogram {
 public:
  void add(double size);  // >= 0; NaN counts as infinite
  std::uint64_t count() const { return count_; }
  double mean() const { return count_ ? sum_ / static_cast<double>(count_) : 0; }
  double max() const { return max_; }
  double quantile(double p) const;  // the upper edge of its bin

 private:
  static constexpr int kPerOctave = 64, kOctaves = 64;
  std::vector<std::uint64_t> bins_;
  std::uint64_t count_ = 0, zeros_ = 0;
  double sum_ = 0, max_ = 0;
};

// The cases of one operation in one numeric mode in one place.
struct OperationErrors {
  std::string name;  // "linear bf16/f32 @avx2"
  std::size_t cases = 0, failed = 0;
  SizeHistogram share;    // |error| / allowed, of the values that may be off at all
  SizeHistogram ulps;     // |error| in units in the last place of f32
  double regret = 0;      // largest of the head's, nats
  std::string complaint;  // of the worst failed case, with its name
  double worst = 0;       // its error as a share of what is allowed
};

// Where cases run: a backend and how its Ops are opened (tests put doubles between).
struct OperationPlace {
  std::string name;
  Backend* backend = nullptr;
  std::function<std::unique_ptr<Ops>()> open;
};

// Runs every case in every place that computes in its mode; memory is dirty and used again, as in models.
// `stop` may be null; what was found until then is returned.
std::vector<OperationErrors> check_operations(
    std::span<const OpCase> cases, std::span<const OperationPlace> places, const std::atomic<bool>* stop,
    const std::function<void(std::size_t done, std::size_t all)>& progress);

}  // namespace deciban
