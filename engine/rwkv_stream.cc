#include "engine/rwkv_stream.h"

#include <algorithm>
#include <utility>

namespace deciban {
namespace {

Tensor rows_of(const Tensor& tensor, std::size_t first, std::size_t count) {
  Tensor part = tensor;
  part.data =
      static_cast<std::byte*>(tensor.data) + first * tensor.stride * Tensor::element_bytes(tensor.type);
  part.rows = count;
  return part;
}

}  // namespace

RwkvStream::RwkvStream(const RwkvParts& parts, int threads, std::size_t slots)
    : parts_(parts),
      threads_(threads),
      ops_(parts.backend->open(threads)),
      state_(ops_->allocate_state(slots, parts.state_floats())),
      fresh_(slots) {}

void RwkvStream::reset(std::size_t slot) {
  ops_->write_state(state_, slot, parts_.initial);
  fresh_[slot] = true;
}

void RwkvStream::copy(std::size_t from, std::size_t to) {
  ops_->copy_state(state_, parts_.state_floats(), from, to);
  fresh_[to] = fresh_[from];
}

void RwkvStream::run(std::span<const Token> tokens, Layout layout, std::span<const std::size_t> rows,
                     std::span<const Token> targets, std::span<TokenScore> scores) {
  const bool grows = tokens.size() > proven_rows_ || rows.size() > proven_targets_;
  if (parts_.accelerator() && grows) save(layout);
  try {
    ops_->release(0);
    const Tensor x = forward(tokens, layout);
    if (!rows.empty()) {
      last_ = ops_->allocate(rows.size(), parts_.shape.width, parts_.product_type());
      ops_->norm_rows(x, rows, parts_.ln_out.view(), last_);
      ops_->score_head(*parts_.head, last_, targets, scores);
    }
  } catch (const OutOfDeviceMemory& e) {
    if (!grows) throw ChunkFailed(e.what());
    restore(layout);
    throw;
  }
  saved_.clear();
  proven_rows_ = std::max(proven_rows_, tokens.size());
  proven_targets_ = std::max(proven_targets_, rows.size());
  for (const Piece& piece : layout) fresh_[piece.slot] = false;
  account();
}

LogitRows RwkvStream::logits(std::size_t first, std::size_t count) {
  const std::size_t mark = ops_->mark();
  const Tensor y = ops_->allocate(count, parts_.shape.vocabulary);
  ops_->linear(*parts_.head, rows_of(last_, first, count), y);
  logits_.resize(count * parts_.shape.vocabulary);
  ops_->read(y, 0, count, logits_.data());
  ops_->release(mark);
  account();
  return {logits_.data(), count, parts_.shape.vocabulary};
}

LogitRows RwkvStream::step(std::span<const Token> tokens) {
  repeat_step(tokens);
  logits_.resize(tokens.size() * parts_.shape.vocabulary);
  ops_->read(logit_rows_, 0, tokens.size(), logits_.data());
  account();
  return {logits_.data(), tokens.size(), parts_.shape.vocabulary};
}

void RwkvStream::step_best(std::span<const Token> tokens, std::span<TokenScore> best) {
  repeat_step(tokens);
  ops_->row_best(logit_rows_, best);
  account();
}

// Leaves the logits in logit_rows_.  All tensors are made inside the body, from the arena's start, so that
// they lie at the same addresses in every call; when a recorded step is played again the body does not run
// and they stay as they are.
void RwkvStream::repeat_step(std::span<const Token> tokens) {
  if (step_layout_.size() != tokens.size()) {
    step_layout_.resize(tokens.size());
    step_rows_.resize(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      step_layout_[i] = {i, 1, i};
      step_rows_[i] = i;
    }
  }
  ops_->repeat(tokens.size(), tokens, [&] {
    ops_->release(0);
    const Tensor x = forward(tokens, step_layout_);
    last_ = ops_->allocate(tokens.size(), parts_.shape.width, parts_.product_type());
    ops_->norm_rows(x, step_rows_, parts_.ln_out.view(), last_);
    logit_rows_ = ops_->allocate(tokens.size(), parts_.shape.vocabulary);
    ops_->linear(*parts_.head, last_, logit_rows_);
  });
  std::fill(fresh_.begin(), fresh_.end(), false);
}

std::vector<float> RwkvStream::official_state(std::size_t slot) const {
  std::vector<float> all(parts_.state_floats()), out;
  ops_->read_state(state_, slot, all);
  const std::size_t floats = parts_.net->state_floats();
  for (std::size_t i = 0; i < parts_.shape.layers; ++i) {
    const std::vector<float> block = parts_.net->official_state({all.data() + i * floats, floats});
    out.insert(out.end(), block.begin(), block.end());
  }
  return out;
}

// The residual stream behind the last block; the arena keeps it until it is released.
Tensor RwkvStream::forward(std::span<const Token> tokens, Layout layout) {
  Chunk chunk;
  chunk.x = ops_->allocate(tokens.size(), parts_.shape.width);
  chunk.layout = layout;
  chunk.state = state_;
  if (parts_.net->needs_v_first()) {
    chunk.v_first =
        ops_->allocate(tokens.size(), parts_.shape.attention, ops_->inner_type(parts_.mode.activations));
  }
  const Norm ln0 = parts_.ln0.view();
  ops_->embed(*parts_.embedding, tokens, &ln0, chunk.x);
  for (std::size_t i = 0; i < parts_.shape.layers; ++i) parts_.net->block(*ops_, i, chunk);
  return chunk.x;
}

// A chunk that fails half-way has moved some layers' states on.  Only one that is larger than all before it
// can meet the end of memory: the arena keeps what it has.
void RwkvStream::save(Layout layout) {
  saved_.clear();
  for (const Piece& piece : layout) {
    if (fresh_[piece.slot]) continue;
    std::vector<float> state(parts_.state_floats());
    ops_->read_state(state_, piece.slot, state);
    saved_.emplace_back(piece.slot, std::move(state));
  }
}

void RwkvStream::restore(Layout layout) {
  for (const Piece& piece : layout) {
    if (fresh_[piece.slot]) ops_->write_state(state_, piece.slot, parts_.initial);
  }
  for (const auto& [slot, state] : saved_) ops_->write_state(state_, slot, state);
}

void RwkvStream::account() { workspace_ = ops_->workspace_bytes() + logits_.capacity() * sizeof(float); }

}  // namespace deciban
