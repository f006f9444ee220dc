// The linear transformer (arXiv 2006.16236): out_t = phi(q_t) S_t / phi(q_t) z_t with S_t = sum phi(k_j) v_j
// and z_t = sum phi(k_j), j <= t, for each head; phi(x) = elu(x) + 1.  In chunks: within a chunk by products
// of matrices, between chunks by S and z.  Inputs: q, k, v.
#pragma once

#include <algorithm>

#include "bench/mixers/blocks-inl.h"
#include "bench/mixers/mixer.h"

namespace deciban {

// The same for any feature map: FAVOR+ (performer-inl.h) is one more.
class FeatureMixer : public Mixer {
 public:
  void run() final {
    Column(state_, index(features_ * width())).setZero();
    Column(normaliser_, index(features_ * (width() / kHead))).setZero();
    for (std::size_t row = 0; row < length(); row += kRows) {
      for (std::size_t head = 0; head < width() / kHead; ++head) {
        Block s = block(state_ + head * features_ * kHead, kHead, 0, features_, 0, kHead);
        Column z(normaliser_ + head * features_, index(features_));
        chunk(head * kHead, row, s, z);
      }
    }
  }

 protected:
  static constexpr std::size_t kRows = 64;
  // phi of each row of x ([rows][kHead]) to `out` ([rows][features]).
  virtual void map(const ConstBlock& x, Block out) = 0;
  std::size_t inputs() const final { return 3; }
  std::size_t kept_inputs() const final { return 0; }
  void take(std::size_t features) {
    features_ = features;
    state_ = scratch(features * width());
    normaliser_ = scratch(features * (width() / kHead));
    q_ = scratch(kRows * features);
    k_ = scratch(kRows * features);
    scores_ = scratch(kRows * kRows);
    sums_ = scratch(kRows * kHead);
    weights_ = scratch(kRows);
  }

 private:
  void chunk(std::size_t channel, std::size_t row, Block& s, Column& z) {
    const std::size_t rows = std::min(kRows, length() - row);
    Block q = block(q_, features_, 0, rows, 0, features_), k = block(k_, features_, 0, rows, 0, features_),
          scores = block(scores_, kRows, 0, rows, 0, rows), sums = block(sums_, kHead, 0, rows, 0, kHead);
    Column weights(weights_, index(rows));
    const ConstBlock v = block(input(2).data(), width(), row, rows, channel, kHead);
    map(block(input(0).data(), width(), row, rows, channel, kHead), q);
    map(block(input(1).data(), width(), row, rows, channel, kHead), k);
    scores.noalias() = q * k.transpose();
    mask_future(scores, 0, 0, 0.0f);
    sums.noalias() = scores * v;
    sums.noalias() += q * s;
    weights.noalias() = q * z;
    weights += scores.rowwise().sum();
    block(out(), width(), row, rows, channel, kHead) = weights.cwiseInverse().asDiagonal() * sums;
    s.noalias() += k.transpose() * v;
    z += k.colwise().sum().transpose();
  }

  std::size_t features_ = 0;
  float *state_ = nullptr, *normaliser_ = nullptr, *q_ = nullptr, *k_ = nullptr, *scores_ = nullptr,
        *sums_ = nullptr, *weights_ = nullptr;
};

class LinearMixer final : public FeatureMixer {
 protected:
  void setup() override { take(kHead); }
  void map(const ConstBlock& x, Block out) override {
    out.array() = (x.array() > 0).select(x.array() + 1, x.array().min(0.0f).exp());
  }
};

}  // namespace deciban
