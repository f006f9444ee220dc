// Performer (arXiv 2009.14794): the causal linear attention of linear-inl.h with FAVOR+, the positive
// features phi(x) = exp(w x' - |x'|² / 2), x' = x / 64^(1/4), for m = 256 (about 64 ln 64) orthogonal random
// w a head. Parameter 0: the draws that w is made from ([m][64]); parameter 1: w, orthogonal within each 64
// rows, with the lengths that the draws had.
#pragma once

#include "bench/mixers/linear-inl.h"

namespace deciban {

class PerformerMixer final : public FeatureMixer {
 protected:
  static constexpr std::size_t kFeatures = 256;

  void setup() override {
    take(kFeatures);
    const float* drawn = draw(kFeatures * kHead, 0, 1);
    float* w = draw(kFeatures * kHead, 0, 0);
    // Gram and Schmidt, twice: once is not enough in f32.
    Block all = block(w, kHead, 0, kFeatures, 0, kHead);
    all = block(drawn, kHead, 0, kFeatures, 0, kHead);
    for (std::size_t i = 0; i < kFeatures; ++i) {
      const float length = all.row(index(i)).norm();
      for (int pass = 0; pass < 2; ++pass) {
        for (std::size_t j = i / kHead * kHead; j < i; ++j) {
          const auto other = all.row(index(j));
          all.row(index(i)) -= all.row(index(i)).dot(other) / other.squaredNorm() * other;
        }
      }
      all.row(index(i)) *= length / all.row(index(i)).norm();
    }
    w_ = w;
    x_ = scratch(kRows * kHead);
  }

  void map(const ConstBlock& x, Block out) override {
    const auto rows = static_cast<std::size_t>(x.rows());
    Block scaled = block(x_, kHead, 0, rows, 0, kHead);
    scaled = x * 0.35355339f;  // 64^(-1/4)
    out.noalias() = scaled * block(w_, kHead, 0, kFeatures, 0, kHead).transpose();
    for (Eigen::Index i = 0; i < out.rows(); ++i)
      out.row(i) = (out.row(i).array() - scaled.row(i).squaredNorm() / 2).exp();
  }

 private:
  const float* w_ = nullptr;
  float* x_ = nullptr;
};

}  // namespace deciban
