// RWKV-7's time mixing (arXiv 2503.14456, eq. 17): for each head, with S of 64 by 64,
//   S_t = S_{t-1} (diag(w_t) + a_t b_t^T) + v_t k_t^T,  out_t = S_t r_t.
// Inputs: r, w (in (0, 1)), k, v, a (a unit vector a head, the removal key negated) and b (that key times the
// learning rate in (0, 1)).
#pragma once

#include <algorithm>

#include "bench/mixers/blocks-inl.h"
#include "bench/mixers/mixer.h"

namespace deciban {

class Rwkv7Mixer final : public Mixer {
 public:
  void run() override {
    Eigen::Map<Eigen::ArrayXf>(state_, index(kHead * width())).setZero();
    for (std::size_t row = 0; row < length(); row += kRows) {
      for (std::size_t c = 0; c < width(); c += kHead) head(c, row, std::min(length(), row + kRows));
    }
  }

 protected:
  std::size_t inputs() const override { return 6; }
  std::size_t kept_inputs() const override { return 0; }
  void setup() override {
    const auto sigmoid = [](float x) { return 1 / (1 + std::exp(-x)); };
    for (float& w : mutable_input(1)) w = std::exp(-0.606531f * sigmoid(w));
    for (std::size_t row = 0; row < length() * width(); row += kHead) {
      float *a = mutable_input(4).data() + row, *b = mutable_input(5).data() + row;
      float square = 0;
      for (std::size_t i = 0; i < kHead; ++i) square += a[i] * a[i];
      for (std::size_t i = 0; i < kHead; ++i) {
        a[i] /= std::sqrt(square) + 1e-6f;
        b[i] = -a[i] * sigmoid(b[i]);
      }
      for (std::size_t i = 0; i < kHead; ++i) mutable_input(2)[row + i] *= 0.125f;
    }
    state_ = scratch(kHead * kHead * (width() / kHead));
  }

 private:
  static constexpr std::size_t kRows =
      32;  // of one head in a row, so that inputs are read nearly as they lie

  // S lies as [key][value], so that what is summed over keys is a sum of rows.
  void head(std::size_t c, std::size_t first, std::size_t last) {
    using Values = Eigen::Array<float, kHead, 1>;
    float* s = state_ + c * kHead;
    for (std::size_t t = first; t < last; ++t) {
      const std::size_t at = t * width() + c;
      const float *r = input(0).data() + at, *w = input(1).data() + at, *k = input(2).data() + at,
                  *a = input(4).data() + at, *b = input(5).data() + at;
      const Values v = Eigen::Map<const Values>(input(3).data() + at);
      Values removed = Values::Zero(), y = Values::Zero();
      for (std::size_t j = 0; j < kHead; ++j) removed += a[j] * Eigen::Map<const Values>(s + j * kHead);
      for (std::size_t j = 0; j < kHead; ++j) {
        Eigen::Map<Values> row(s + j * kHead);
        row = row * w[j] + removed * b[j] + v * k[j];
        y += row * r[j];
      }
      Eigen::Map<Values>(out() + at) = y;
    }
  }

  float* state_ = nullptr;
};

}  // namespace deciban
