// RWKV-4's time mixing (arXiv 2305.13048, eq. 16 and 29-34), with its running maximum: for each channel
//   out_t = sigmoid(r_t) * (sum_{j<t} e^{k_j - (t-1-j) w} v_j + e^{u + k_t} v_t) / (the same without v).
// Inputs: r, k, v.  Parameters: w (positive) and u, [d] each.
#pragma once

#include <algorithm>

#include "bench/mixers/blocks-inl.h"
#include "bench/mixers/mixer.h"

namespace deciban {

class Rwkv4Mixer final : public Mixer {
 public:
  void run() override {
    Eigen::Map<Eigen::ArrayXf>(state_, index(2 * width())).setZero();
    Eigen::Map<Eigen::ArrayXf>(state_ + 2 * width(), index(width())).setConstant(-1e30f);
    for (std::size_t row = 0; row < length(); row += kRows) {
      for (std::size_t c = 0; c < width(); c += kHead) channels(c, row, std::min(length(), row + kRows));
    }
  }

 protected:
  std::size_t inputs() const override { return 3; }
  std::size_t kept_inputs() const override { return 0; }
  void setup() override {
    float* w = draw(width(), -2, 1.5f);
    for (std::size_t c = 0; c < width(); ++c) w[c] = std::exp(w[c]);
    w_ = w;
    u_ = draw(width(), 0.3f, 0.5f);
    state_ = scratch(3 * width());
  }

 private:
  static constexpr std::size_t kRows = 32;  // of the same channels in a row

  // Tokens [first, last) of kHead channels, whose state stays in registers or the first cache.
  void channels(std::size_t c, std::size_t first, std::size_t last) {
    using Channels = Eigen::Array<float, kHead, 1>;
    using In = Eigen::Map<const Channels>;
    Eigen::Map<Channels> over(state_ + c), under(state_ + width() + c), most(state_ + 2 * width() + c);
    const In w(w_ + c), u(u_ + c);
    for (std::size_t t = first; t < last; ++t) {
      const std::size_t at = t * width() + c;
      const In r(input(0).data() + at), k(input(1).data() + at), v(input(2).data() + at);
      const Channels own = u + k, peak = most.max(own), old = (most - peak).exp(), fresh = (own - peak).exp();
      Eigen::Map<Channels>(out() + at) =
          (old * over + fresh * v) / ((old * under + fresh) * (1 + (-r).exp()));
      const Channels faded = most - w, next = faded.max(k), keep = (faded - next).exp(),
                     add = (k - next).exp();
      over = keep * over + add * v;
      under = keep * under + add;
      most = next;
    }
  }

  const float *w_ = nullptr, *u_ = nullptr;
  float* state_ = nullptr;
};

}  // namespace deciban
