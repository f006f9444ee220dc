// One stream of operations over a loaded RWKV model: chunks for the packer, steps for batches.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "engine/packer.h"
#include "engine/rwkv.h"

namespace deciban {

// Everything of a model that lies on one device and does not change after loading.
struct RwkvParts {
  RwkvShape shape;
  NumericMode mode;
  std::unique_ptr<Backend> backend;  // before what it made, so that it goes last
  std::unique_ptr<EmbeddingTable> embedding;
  OwnedNorm ln0, ln_out;
  std::unique_ptr<Weight> head;
  std::unique_ptr<RwkvNet> net;
  std::vector<float> initial;  // state of one sequence

  std::size_t state_floats() const { return shape.layers * net->state_floats(); }
  Tensor::Type product_type() const { return Ops::product_type(mode.activations); }
  // Memory of its own, which may run out.
  bool accelerator() const { return backend->free_bytes().has_value(); }
};

// A slot must be reset before its first use; one that is never used costs no memory on the CPU.
class RwkvStream final : public ChunkRunner {
 public:
  RwkvStream(const RwkvParts& parts, int threads, std::size_t slots);

  const RwkvParts& parts() const { return parts_; }
  int threads() const { return threads_; }
  std::size_t slots() const override { return fresh_.size(); }
  void reset(std::size_t slot) override;
  void copy(std::size_t from, std::size_t to) override;
  void run(std::span<const Token> tokens, Layout layout, std::span<const std::size_t> rows,
           std::span<const Token> targets, std::span<TokenScore> scores) override;
  LogitRows logits(std::size_t first, std::size_t count) override;

  // One token of every slot.
  LogitRows step(std::span<const Token> tokens);
  void step_best(std::span<const Token> tokens, std::span<TokenScore> best);

  std::vector<float> official_state(std::size_t slot) const;
  std::size_t state_bytes() const { return slots() * parts_.state_floats() * sizeof(float); }
  // May be asked by any thread while the stream runs.
  std::uint64_t workspace_bytes() const { return workspace_.load(std::memory_order_relaxed); }

 private:
  Tensor forward(std::span<const Token> tokens, Layout layout);
  void repeat_step(std::span<const Token> tokens);
  void save(Layout layout);
  void restore(Layout layout);
  void account();

  const RwkvParts& parts_;
  int threads_;
  std::unique_ptr<Ops> ops_;
  StateView state_;
  std::vector<char> fresh_;                                        // per slot: nothing read since reset()
  std::size_t proven_rows_ = 0, proven_targets_ = 0;               // that memory has sufficed for
  std::vector<std::pair<std::size_t, std::vector<float>>> saved_;  // states before the chunk in work
  Tensor last_, logit_rows_;
  std::vector<Piece> step_layout_;
  std::vector<std::size_t> step_rows_;
  std::vector<float> logits_;
  std::atomic<std::uint64_t> workspace_{0};
};

}  // namespace deciban
