// Full softmax attention (arXiv 1706.03762), causal, tiled with a running maximum (arXiv 1805.02867): no
// array that grows with T².  Inputs: q, k, v.  out_t = sum_j softmax_j(q_t k_j / 8) v_j for each head, j <=
// t.
#pragma once

#include <algorithm>
#include <limits>

#include "bench/mixers/blocks-inl.h"
#include "bench/mixers/mixer.h"

namespace deciban {

class AttentionMixer final : public Mixer {
 public:
  void run() override {
    for (std::size_t head = 0; head < width() / kHead; ++head)
      for (std::size_t row = 0; row < length(); row += kRows) tile_row(head * kHead, row);
  }

 protected:
  std::size_t inputs() const override { return 3; }
  std::size_t kept_inputs() const override { return 2; }  // k and v
  void setup() override {
    scores_ = scratch(kRows * kColumns);
    sums_ = scratch(kRows * kHead);
    queries_ = scratch(kRows * kHead);
    most_ = scratch(kRows);
    total_ = scratch(kRows);
  }

 private:
  static constexpr std::size_t kRows = 64, kColumns = 256;

  // Queries [row, row + kRows) of one head against all keys before them.
  void tile_row(std::size_t channel, std::size_t row) {
    const std::size_t rows = std::min(kRows, length() - row);
    Block out = block(sums_, kHead, 0, rows, 0, kHead), q = block(queries_, kHead, 0, rows, 0, kHead);
    Column most(most_, index(rows)), total(total_, index(rows));
    q = block(input(0).data(), width(), row, rows, channel, kHead) * 0.125f;
    out.setZero();
    total.setZero();
    most.setConstant(-std::numeric_limits<float>::infinity());
    for (std::size_t column = 0; column < row + rows; column += kColumns) {
      const std::size_t columns = std::min(kColumns, row + rows - column);
      Block s = block(scores_, kColumns, 0, rows, 0, columns);
      s.noalias() = q * block(input(1).data(), width(), column, columns, channel, kHead).transpose();
      if (column + columns > row + 1) mask_future(s, row, column, -std::numeric_limits<float>::infinity());
      for (Eigen::Index i = 0; i < s.rows(); ++i) {
        // The first tile holds every row's first key, so the maximum is a number from then on.
        const float now = std::max(most[i], s.row(i).maxCoeff()), shrink = std::exp(most[i] - now);
        s.row(i) = (s.row(i).array() - now).exp();
        total[i] = total[i] * shrink + s.row(i).sum();
        out.row(i) *= shrink;
        most[i] = now;
      }
      out.noalias() += s * block(input(2).data(), width(), column, columns, channel, kHead);
    }
    block(this->out(), width(), row, rows, channel, kHead) = total.cwiseInverse().asDiagonal() * out;
  }

  float *scores_ = nullptr, *sums_ = nullptr, *queries_ = nullptr, *most_ = nullptr, *total_ = nullptr;
};

}  // namespace deciban
