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
  read(tokens, step_layout_, step_rows_);
  const Tensor y = ops_->allocate(tokens.size(), net_.shape().vocabulary);
  ops_->linear(net_.head(), last_, y);
  return y;
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
