// Hyena of order 2 (arXiv 2302.10866): out = x0 * (k ⊛ (x1 v) + bias x1 v), with a filter as long as the
// sequence for each channel, by FFT (engine/causal_convolution.h).  Inputs: x0, x1, v.  Parameters: the
// filter, [T][d] (its values, which a model makes once from positions), and the bias, [d].
#pragma once

#include <algorithm>
#include <optional>

#include "bench/mixers/blocks-inl.h"
#include "bench/mixers/mixer.h"
#include "engine/causal_convolution.h"

namespace deciban {

class HyenaMixer final : public Mixer {
 public:
  void run() override {
    for (std::size_t c = 0; c < width(); c += kChannels) {
      Block u = block(products_, kChannels, 0, length(), 0, kChannels),
            y = block(out(), width(), 0, length(), c, kChannels);
      u.array() = block(input(1).data(), width(), 0, length(), c, kChannels).array() *
                  block(input(2).data(), width(), 0, length(), c, kChannels).array();
      convolution_->run(products_, kChannels, filter_ + c, width(), kChannels, out() + c, width());
      const Eigen::Map<const Eigen::RowVectorXf> bias(bias_ + c, index(kChannels));
      y.array() = (y.array() + u.array().rowwise() * bias.array()) *
                  block(input(0).data(), width(), 0, length(), c, kChannels).array();
    }
  }

 protected:
  static constexpr std::size_t kChannels = CausalConvolution::kChannels;
  static_assert(kHead % kChannels == 0);
  std::size_t inputs() const override { return 3; }
  std::size_t kept_inputs() const override { return 2; }  // x1 and v
  void setup() override {
    float* filter = draw(length() * width(), 0, 1);
    for (std::size_t t = 0; t < length(); ++t) {
      const float decay = std::exp(-4 * static_cast<float>(t) / static_cast<float>(length())) * 0.1f;
      for (std::size_t c = 0; c < width(); ++c) filter[t * width() + c] *= decay;
    }
    filter_ = filter;
    bias_ = draw(width(), 0, 1);
    products_ = scratch(length() * kChannels);
    convolution_.emplace(length(), 0);
    count_scratch(convolution_->bytes());
  }

 private:
  const float *filter_ = nullptr, *bias_ = nullptr;
  float* products_ = nullptr;
  std::optional<CausalConvolution> convolution_;
};

}  // namespace deciban
