// A backend that hands all work on to another, with a memory of its own size: calls for more rows than fit
// end in OutOfDeviceMemory, as on a card that is nearly full.
#pragma once

#include <atomic>
#include <limits>
#include <memory>
#include <utility>

#include "engine/forwarding_ops.h"
#include "engine/ops.h"

namespace deciban {

// What the test sets and sees; shared with all Ops.
struct Limits {
  std::size_t most_rows = std::numeric_limits<std::size_t>::max();  // of one tensor of the blocks
  std::size_t good_tensors = 0;  // so many larger ones succeed first: the failure meets a chunk half-way
  std::size_t most_slots = std::numeric_limits<std::size_t>::max();
  std::uint64_t free_bytes = std::uint64_t{1} << 40;
  std::size_t chunk_rows = 4096, state_bytes = std::size_t{1} << 30;
  std::atomic<std::size_t> refused{0};
  std::atomic<std::size_t> largest{0};  // rows of a tensor that was granted
};

class LimitedOps final : public ForwardingOps {
 public:
  LimitedOps(std::unique_ptr<Ops> inner, std::shared_ptr<Limits> limits)
      : ForwardingOps(*inner), owned_(std::move(inner)), limits_(std::move(limits)) {}
  Tensor allocate(std::size_t rows, std::size_t columns, Tensor::Type type) override {
    if (rows > limits_->most_rows && ++met_ > limits_->good_tensors) {
      ++limits_->refused;
      met_ = 0;
      throw OutOfDeviceMemory("the card has no room for " + std::to_string(rows) + " rows");
    }
    if (rows > limits_->largest) limits_->largest = rows;
    return ForwardingOps::allocate(rows, columns, type);
  }
  StateView allocate_state(std::size_t slots, std::size_t floats) override {
    if (slots > limits_->most_slots) {
      ++limits_->refused;
      throw OutOfDeviceMemory("the card has no room for " + std::to_string(slots) + " states");
    }
    return ForwardingOps::allocate_state(slots, floats);
  }

 private:
  std::unique_ptr<Ops> owned_;
  std::shared_ptr<Limits> limits_;
  std::size_t met_ = 0;
};

class LimitedBackend final : public Backend {
 public:
  LimitedBackend(std::unique_ptr<Backend> inner, std::shared_ptr<Limits> limits)
      : inner_(std::move(inner)), limits_(std::move(limits)) {}
  std::string device() const override { return inner_->device(); }
  std::string kernels() const override { return inner_->kernels(); }
  std::unique_ptr<Weight> matrix(const StoredTensor& tensor, NumericMode mode) override {
    return inner_->matrix(tensor, mode);
  }
  std::unique_ptr<Vector> vector(std::span<const float> values) override { return inner_->vector(values); }
  std::unique_ptr<EmbeddingTable> table(const StoredTensor& tensor) override { return inner_->table(tensor); }
  std::unique_ptr<Ops> open(int threads) override {
    return std::make_unique<LimitedOps>(inner_->open(threads), limits_);
  }
  std::uint64_t weight_bytes() const override { return inner_->weight_bytes(); }
  std::string refusal(NumericMode mode) const override { return inner_->refusal(mode); }
  NumericMode computed(NumericMode asked) const override { return inner_->computed(asked); }
  std::string usual_mode(const std::string& stored) const override { return inner_->usual_mode(stored); }
  std::size_t activation_budget() const override { return std::size_t{1} << 40; }
  std::size_t state_budget() const override { return limits_->state_bytes; }
  std::size_t most_chunk_rows() const override { return limits_->chunk_rows; }
  std::optional<std::uint64_t> free_bytes() const override { return limits_->free_bytes; }

 private:
  std::unique_ptr<Backend> inner_;
  std::shared_ptr<Limits> limits_;
};

}  // namespace deciban
