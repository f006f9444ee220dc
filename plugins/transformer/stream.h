// One stream of operations over a loaded transformer: chunks for the packer, steps for batches.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "engine/packer.h"
#include "plugins/transformer/net.h"

namespace deciban::transformer {

class Stream final : public ChunkRunner {
 public:
  Stream(const Net& net, Backend& backend, int threads, std::size_t slots);

  const Net& net() const { return net_; }
  int threads() const { return threads_; }
  std::size_t slots() const override { return cache_->slots(); }
  void reset(std::size_t slot) override { cache_->reset(slot); }
  void copy(std::size_t from, std::size_t to) override { cache_->copy(from, to); }
  void run(std::span<const Token> tokens, Layout layout, std::span<const std::size_t> rows,
           std::span<const Token> targets, std::span<TokenScore> scores) override;
  LogitRows logits(std::size_t first, std::size_t count) override;

  // One token of every slot.
  LogitRows step(std::span<const Token> tokens);
  void step_best(std::span<const Token> tokens, std::span<TokenScore> best);
  std::size_t length(std::size_t slot) const { return cache_->length(slot); }

  // May be asked by any thread while the stream runs.
  std::uint64_t cache_bytes() const { return cache_->bytes(); }
  std::uint64_t workspace_bytes() const { return workspace_.load(std::memory_order_relaxed); }

 private:
  void read(std::span<const Token> tokens, Layout layout, std::span<const std::size_t> rows);
  Tensor step_logits(std::span<const Token> tokens);
  void account();

  const Net& net_;
  int threads_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<KvCache> cache_;
  Tensor last_, logit_rows_;
  std::vector<Piece> step_layout_;
  std::vector<std::size_t> step_rows_;
  std::vector<float> logits_;
  std::atomic<std::uint64_t> workspace_{0};
};

}  // namespace deciban::transformer
