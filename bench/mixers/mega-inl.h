// MEGA's mixing (arXiv 2209.10655), in its chunked form: a damped moving average with 16 states a channel,
//   h_t = alpha beta x_t + (1 - alpha delta) h_{t-1},  e_t = sum of eta h_t over the states,
// then attention within chunks of c = 128 tokens with q = kq e + mq and k = kk e + mk, one head of d
// channels. Inputs: x, v.  Parameters: alpha, delta (both in (0, 1)), beta, eta: [16][d] each; kq, mq, kk,
// mk: [d] each.
#pragma once

#include <algorithm>
#include <limits>

#include "bench/mixers/blocks-inl.h"
#include "bench/mixers/mixer.h"

namespace deciban {

class MegaMixer final : public Mixer {
 public:
  void run() override {
    block(states_, width(), 0, kStates, 0, width()).setZero();
    for (std::size_t row = 0; row < length(); row += kChunk) {
      const std::size_t rows = std::min(kChunk, length() - row);
      for (std::size_t c = 0; c < width(); c += kHead) average(row, rows, c);
      attend(row, rows);
    }
  }

 protected:
  static constexpr std::size_t kStates = 16, kChunk = 128;
  std::size_t inputs() const override { return 2; }
  std::size_t kept_inputs() const override { return 0; }  // chunks do not look back
  void setup() override {
    const auto into_unit = [](float* values, std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) values[i] = 1 / (1 + std::exp(-values[i]));
    };
    float* alpha = draw(kStates * width(), -1, 1);
    float* delta = draw(kStates * width(), 0, 1);
    into_unit(alpha, kStates * width());
    into_unit(delta, kStates * width());
    const float *beta = draw(kStates * width(), 0, 0.5f), *eta = draw(kStates * width(), 0, 0.5f);
    kq_ = draw(width(), 1, 0.3f);
    mq_ = draw(width(), 0, 0.3f);
    kk_ = draw(width(), 1, 0.3f);
    mk_ = draw(width(), 0, 0.3f);
    eta_ = eta;
    gain_ = scratch(kStates * width());
    keep_ = scratch(kStates * width());
    for (std::size_t i = 0; i < kStates * width(); ++i) {
      gain_[i] = alpha[i] * beta[i];
      keep_[i] = 1 - alpha[i] * delta[i];
    }
    states_ = scratch(kStates * width());
    averages_ = scratch(kChunk * width());
    q_ = scratch(kChunk * width());
    k_ = scratch(kChunk * width());
    scores_ = scratch(kChunk * kChunk);
  }

 private:
  void average(std::size_t row, std::size_t rows, std::size_t c) {
    using Channels = Eigen::Array<float, kHead, 1>;
    using In = Eigen::Map<const Channels>;
    for (std::size_t t = 0; t < rows; ++t) {
      const In x(input(0).data() + (row + t) * width() + c);
      Channels e = Channels::Zero();
      for (std::size_t n = 0; n < kStates; ++n) {
        Eigen::Map<Channels> h(states_ + n * width() + c);
        h = In(gain_ + n * width() + c) * x + In(keep_ + n * width() + c) * h;
        e += In(eta_ + n * width() + c) * h;
      }
      Eigen::Map<Channels>(averages_ + t * width() + c) = e;
    }
  }

  void attend(std::size_t row, std::size_t rows) {
    const auto vector = [&](const float* data) {
      return Eigen::Map<const Eigen::RowVectorXf>(data, index(width()));
    };
    const Block e = block(averages_, width(), 0, rows, 0, width());
    Block q = block(q_, width(), 0, rows, 0, width()), k = block(k_, width(), 0, rows, 0, width()),
          s = block(scores_, kChunk, 0, rows, 0, rows);
    const float scale = 1 / std::sqrt(static_cast<float>(width()));
    q.array() = ((e.array().rowwise() * vector(kq_).array()).rowwise() + vector(mq_).array()) * scale;
    k.array() = (e.array().rowwise() * vector(kk_).array()).rowwise() + vector(mk_).array();
    s.noalias() = q * k.transpose();
    mask_future(s, 0, 0, -std::numeric_limits<float>::infinity());
    for (Eigen::Index i = 0; i < s.rows(); ++i) {
      s.row(i) = (s.row(i).array() - s.row(i).maxCoeff()).exp();
      s.row(i) /= s.row(i).sum();
    }
    block(out(), width(), row, rows, 0, width()).noalias() =
        s * block(input(1).data(), width(), row, rows, 0, width());
  }

  const float *eta_ = nullptr, *kq_ = nullptr, *mq_ = nullptr, *kk_ = nullptr, *mk_ = nullptr;
  float *gain_ = nullptr, *keep_ = nullptr, *states_ = nullptr, *averages_ = nullptr, *q_ = nullptr,
        *k_ = nullptr, *scores_ = nullptr;
};

}  // namespace deciban
