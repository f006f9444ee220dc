// Op cases of attention over a cache of keys and values.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "engine/op_case_data.h"

namespace deciban::op_case {

std::size_t history_of(const OpCase& c, std::size_t piece) { return piece % 2 == 0 ? c.history : 0; }

double history_tokens(const OpCase& c) {
  return static_cast<double>((sequences(c.pieces, c.rows).pieces.size() + 1) / 2 * c.history);
}

double seen_tokens(const OpCase& c) {
  double pairs = 0;
  const Sequences all = sequences(c.pieces, c.rows);
  for (std::size_t i = 0; i < all.pieces.size(); ++i) {
    for (std::size_t r = 0; r < all.pieces[i].count; ++r) {
      const std::size_t seen = history_of(c, i) + r + 1;
      pairs += static_cast<double>(c.window == 0 ? seen : std::min(seen, c.window));
    }
  }
  return pairs;
}

namespace {

constexpr float kHeadEps = 1e-6f, kMagnitude = 1.25f;
constexpr std::size_t kLayers = 2, kLayer = 1;

class AttentionProblem final : public OpProblem {
 public:
  explicit AttentionProblem(const OpCase& c)
      : c_(c),
        heads_(c.inputs / c.head_size),
        kv_columns_(c.kv_heads * c.head_size),
        sequences_(sequences(c.pieces, c.rows)) {
    Random random(name(c));
    q_ = random.normals(c.rows * c.inputs, c.has(kLarge) ? 8 : 1);
    k_ = random.normals(c.rows * kv_columns_, 1);
    v_ = random.normals(c.rows * kv_columns_, 1);
    old_k_ = random.normals(c.history * kv_columns_, 1);  // the same before every piece that has any
    old_v_ = random.normals(c.history * kv_columns_, 1);
    for (std::size_t i = 0; i < c.rotary / 2; ++i) {
      frequencies_.push_back(static_cast<float>(std::pow(1e4, -2.0 * i / c.rotary)));
    }
    if (c.has(kHeadNorm)) {
      q_norm_ = random.normals(c.head_size, 0.3, 1);
      k_norm_ = random.normals(c.head_size, 0.3, 1);
    }
    for (std::size_t h = 0; c.has(kAlibi) && h < heads_; ++h) {
      slopes_.push_back(static_cast<float>(std::exp2(-0.5 * (h + 1))));
    }
    for (Values* values : {&q_, &k_, &v_, &old_k_, &old_v_}) {
      *values = rounded(inner_format(c), std::move(*values));
    }
    scale_ = static_cast<float>(1 / std::sqrt(static_cast<double>(c.head_size)));
  }
  std::unique_ptr<OpRun> bind(Backend& backend, Ops& ops) const override;
  std::vector<Expected> expected() const override;

 private:
  class Run;

  // A head of q or k after its norm and its turn, each value known to `error`.
  Bounded prepared(const float* x, const Values& norm, std::size_t position, double scale) const {
    const std::size_t n = c_.head_size;
    Bounded head(n);
    head.value.assign(x, x + n);
    double relative = 4 * kEps;
    if (!norm.empty()) {
      double squares = 0;
      for (const double value : head.value) squares += value * value;
      const double inverse = 1 / std::sqrt(squares / static_cast<double>(n) + kHeadEps);
      for (std::size_t i = 0; i < n; ++i) head.value[i] *= inverse * norm[i];
      relative += kEps * (6 + std::sqrt(static_cast<double>(n)));
    }
    double largest = 0;
    for (const double value : head.value) largest = std::max(largest, std::abs(value));
    const std::size_t half = c_.rotary / 2;
    for (std::size_t i = 0; i < half; ++i) {
      const std::size_t a = c_.has(kInterleaved) ? 2 * i : i, b = c_.has(kInterleaved) ? a + 1 : a + half;
      const double angle = static_cast<float>(position) * frequencies_[i];  // rounded to f32
      const double cosine = std::cos(angle) * kMagnitude, sine = std::sin(angle) * kMagnitude;
      const double first = head.value[a], second = head.value[b];
      head.value[a] = first * cosine - second * sine;
      head.value[b] = second * cosine + first * sine;
    }
    // What passes through products is rounded to the cache's format.
    const double stored = narrow_eps();
    for (std::size_t i = 0; i < n; ++i) {
      head.value[i] *= scale;
      head.error[i] = relative * 2 * largest * kMagnitude * scale + stored * std::abs(head.value[i]);
      if (c_.mode.activations == ActivationFormat::f16) head.error[i] += kHalfTiny;
    }
    return head;
  }
  // Half an ulp, relative, of what keys, values and weights are kept as.
  double narrow_eps() const {
    if (c_.mode.activations == ActivationFormat::bf16) return kNarrowEps;
    return c_.mode.activations == ActivationFormat::f16 ? 0x1p-11 : 0;
  }

  // The outputs of one query head; keys[j] belongs to position j.
  void attend(const Bounded& q, const std::vector<Bounded>& keys, const std::vector<const float*>& values,
              std::size_t position, std::size_t head, double* value, double* error) const;

  OpCase c_;
  std::size_t heads_, kv_columns_;
  Sequences sequences_;
  Values q_, k_, v_, old_k_, old_v_, frequencies_, q_norm_, k_norm_, slopes_;
  float scale_;
};

void AttentionProblem::attend(const Bounded& q, const std::vector<Bounded>& keys,
                              const std::vector<const float*>& values, std::size_t position, std::size_t head,
                              double* value, double* error) const {
  const std::size_t n = c_.head_size;
  const std::size_t from = c_.window != 0 && position + 1 > c_.window ? position + 1 - c_.window : 0;
  std::vector<double> score, doubt;
  double most = -INFINITY;
  for (std::size_t j = from; j <= position; ++j) {
    double sum = 0, size = 0, off = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double a = q.value[i], b = keys[j].value[i];
      sum += a * b;
      size += std::abs(a * b);
      off += std::abs(a) * keys[j].error[i] + std::abs(b) * q.error[i];
    }
    if (!slopes_.empty()) {
      sum += slopes_[head] * (static_cast<double>(j) - static_cast<double>(position));
      size += std::abs(sum);
    }
    score.push_back(sum);
    doubt.push_back(off + kEps * (2 + 4 * std::sqrt(static_cast<double>(n))) * size);
    most = std::max(most, sum);
  }
  double total = 0;
  std::vector<double> weight;
  for (std::size_t j = 0; j < score.size(); ++j) {
    weight.push_back(std::exp(score[j] - most));
    total += weight.back();
  }
  const double summing = kEps * (8 + 2 * std::sqrt(static_cast<double>(score.size())));
  for (std::size_t i = 0; i < n; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < score.size(); ++j) sum += weight[j] / total * values[from + j][i];
    double off = summing * std::abs(sum);
    for (std::size_t j = 0; j < score.size(); ++j) {
      const double w = weight[j] / total, v = values[from + j][i];
      const double relative = doubt[j] + kEps * (8 + std::abs(score[j] - most));
      off += w * relative * (std::abs(v) + std::abs(sum)) + summing * w * std::abs(v);
      // Weights and values in 16 bits; and weights below 2^-126 (of f16, beside the largest, 2^-25) are
      // nothing.
      off += 2 * narrow_eps() * w * std::abs(v);
      if (c_.mode.activations == ActivationFormat::f16) off += kHalfTiny * (std::abs(v) + 1) / total;
    }
    value[i] = sum;
    error[i] = off + kTiny;
  }
}

std::vector<Expected> AttentionProblem::expected() const {
  const std::size_t n = c_.head_size, group = heads_ / c_.kv_heads;
  Bounded out(c_.rows * c_.inputs);
  for (std::size_t p = 0; p < sequences_.pieces.size(); ++p) {
    const Piece& piece = sequences_.pieces[p];
    const std::size_t before = history_of(c_, p);
    for (std::size_t kv = 0; kv < c_.kv_heads; ++kv) {
      std::vector<Bounded> keys;
      std::vector<const float*> values;
      for (std::size_t j = 0; j < before + piece.count; ++j) {
        const bool old = j < before;
        const std::size_t at = (old ? j : piece.row + j - before) * kv_columns_ + kv * n;
        keys.push_back(prepared((old ? old_k_ : k_).data() + at, k_norm_, j, 1));
        values.push_back((old ? old_v_ : v_).data() + at);
      }
      for (std::size_t r = 0; r < piece.count; ++r) {
        for (std::size_t h = kv * group; h < (kv + 1) * group; ++h) {
          const std::size_t at = (piece.row + r) * c_.inputs + h * n;
          const Bounded q = prepared(q_.data() + at, q_norm_, before + r, scale_);
          attend(q, keys, values, before + r, h, out.value.data() + at, out.error.data() + at);
        }
      }
    }
  }
  return {stored("out", std::move(out), c_.mode.activations)};
}

class AttentionProblem::Run final : public OpRun {
 public:
  Run(const AttentionProblem& p, Backend& backend, Ops& ops) : p_(p), ops_(ops) {
    const OpCase& c = p.c_;
    params_ = {.heads = p.heads_,
               .kv_heads = c.kv_heads,
               .head_size = c.head_size,
               .scale = p.scale_,
               .rotary = c.rotary,
               .interleaved = c.has(kInterleaved),
               .magnitude = c.rotary == 0 ? 1.0f : kMagnitude,
               .window = c.window};
    const auto own = [&](const Values& values) -> const Vector* {
      if (values.empty()) return nullptr;
      vectors_.push_back(backend.vector(values));
      return vectors_.back().get();
    };
    params_.frequencies = own(p.frequencies_);
    params_.slopes = own(p.slopes_);
    params_.q_norm = {own(p.q_norm_), nullptr, kHeadEps, Norm::Kind::rms};
    params_.k_norm = {own(p.k_norm_), nullptr, kHeadEps, Norm::Kind::rms};
    cache_ = ops.allocate_cache({kLayers, c.kv_heads, c.head_size, c.mode.activations, c.window},
                                p.sequences_.slots);
    const ActivationFormat inner = inner_format(c);
    q_ = upload(ops, p.q_, c.rows, c.inputs, inner);
    k_ = upload(ops, p.k_, c.rows, p.kv_columns_, inner);
    v_ = upload(ops, p.v_, c.rows, p.kv_columns_, inner);
    if (c.history > 0) {
      old_q_ = upload(ops, Values(c.history * c.inputs, 1.0f), c.history, c.inputs, inner);
      old_k_ = upload(ops, p.old_k_, c.history, p.kv_columns_, inner);
      old_v_ = upload(ops, p.old_v_, c.history, p.kv_columns_, inner);
      old_out_ = ops.allocate(c.history, c.inputs, Ops::product_type(c.mode.activations));
    }
    out_ = ops.allocate(c.rows, c.inputs, Ops::product_type(c.mode.activations));
    Run::reset();
  }
  void reset() override {
    const std::vector<Piece>& pieces = p_.sequences_.pieces;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      cache_->reset(pieces[i].slot);
      if (history_of(p_.c_, i) == 0) continue;
      const Piece whole{0, p_.c_.history, pieces[i].slot};
      cache_->reserve({&whole, 1});
      for (std::size_t layer = 0; layer < kLayers; ++layer) {  // the last one counts
        ops_.attention(params_, old_q_, old_k_, old_v_, {&whole, 1}, *cache_, layer, old_out_);
      }
      cache_->advance({&whole, 1});
    }
    cache_->reserve(pieces);
  }
  void run() override { ops_.attention(params_, q_, k_, v_, p_.sequences_.pieces, *cache_, kLayer, out_); }
  std::vector<Values> outputs() override { return {download(ops_, out_)}; }

 private:
  const AttentionProblem& p_;
  Ops& ops_;
  Attention params_;
  std::vector<std::unique_ptr<Vector>> vectors_;
  std::unique_ptr<KvCache> cache_;
  Tensor q_, k_, v_, old_q_, old_k_, old_v_, old_out_, out_;
};

std::unique_ptr<OpRun> AttentionProblem::bind(Backend& backend, Ops& ops) const {
  return std::make_unique<Run>(*this, backend, ops);
}

}  // namespace

std::unique_ptr<OpProblem> attention_problem(const OpCase& c) {
  return std::make_unique<AttentionProblem>(c);
}

}  // namespace deciban::op_case
