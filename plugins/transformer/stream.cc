#include "plugins/transformer/stream.h"

namespace deciban::transformer {

Stream::Stream(const Net& net, Backend& backend, int threads, std::size_t slots)
    : net_(net),
      threads_(threads),
      ops_(backend.open(threads)),
      cache_(ops_->allocate_cache(net.cache_shape(), slots)) {}

// Leaves what the head reads of `rows` in last_.  The cache moves on only when all layers have been through,
// so that a chunk that fails leaves every sequence where it was.
void Stream::read(std::span<const Token> tokens, Layout layout, std::span<const std::size_t> rows) {
  ops_->release(0);
  cache_->reserve(layout);
  const Tensor x = net_.forward(*ops_, tokens, layout, *cache_);
  if (!rows.empty()) last_ = net_.last(*ops_, x, rows);
  cache_->advance(layout);
}

void Stream::run(std::span<const Token> tokens, Layout layout, std::span<const std::size_t> rows,
                 std::span<const Token> targets, std::span<TokenScore> scores) {
  read(tokens, layout, rows);
  if (!rows.empty()) ops_->score_head(net_.head(), last_, targets, scores);
  account();
}

LogitRows Stream::logits(std::size_t first, std::size_t count) {
  const std::size_t mark = ops_->mark(), vocabulary = net_.shape().vocabulary;
  Tensor part = last_;
  part.data = static_cast<std::byte*>(last_.data) + first * last_.stride * Tensor::element_bytes(last_.type);
  part.rows = count;
  const Tensor y = ops_->allocate(count, vocabulary);
  ops_->linear(net_.head(), part, y);
  logits_.resize(count * vocabulary);
  ops_->read(y, 0, count, logits_.data());
  ops_->release(mark);
  account();
  return {logits_.data(), count, vocabulary};
}

Tensor Stream::step_logits(std::span<const Token> tokens) {
  if (step_layout_.size() != tokens.size()) {
    step_layout_.clear();
    step_rows_.clear();
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      step_layout_.push_back({i, 1, i});
      step_rows_.push_back(i);
    }
  }
  cache_->reserve(step_layout_);
  // All tensors are made inside the body, from the arena's start, so that they lie at the same addresses in
  // every call; when a recorded step is played again the body does not run and they stay as they are.
  const auto body = [&] {
    ops_->release(0);
    const Tensor x = net_.forward(*ops_, tokens, step_layout_, *cache_);
    last_ = net_.last(*ops_, x, step_rows_);
    logit_rows_ = ops_->allocate(tokens.size(), net_.shape().vocabulary);
    ops_->linear(net_.head(), last_, logit_rows_);
  };
  if (net_.shape().norm_after) {
    body();  // brings rows to the host on the way
  } else {
    ops_->repeat(tokens.size(), tokens, body);
  }
  cache_->advance(step_layout_);
  return logit_rows_;
}

LogitRows Stream::step(std::span<const Token> tokens) {
  const Tensor y = step_logits(tokens);
  logits_.resize(tokens.size() * y.columns);
  ops_->read(y, 0, tokens.size(), logits_.data());
  account();
  return {logits_.data(), tokens.size(), y.columns};
}

void Stream::step_best(std::span<const Token> tokens, std::span<TokenScore> best) {
  ops_->row_best(step_logits(tokens), best);
  account();
}

void Stream::account() { workspace_ = ops_->workspace_bytes() + logits_.capacity() * sizeof(float); }

}  // namespace deciban::transformer
