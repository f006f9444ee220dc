// The attention free transformer (arXiv 2105.14103): with a = exp(k), for each channel
//   out_t = sigmoid(q_t) * (sum_j exp(w_tj) a_j v_j) / (sum_j exp(w_tj) a_j),  j <= t.
// Position biases are factorised as published, w_tj = u_t p_j with 128 columns.  AFT-local has w_tj = 0 for
// t - j >= s = 64.  Inputs: q, k, v.  Parameters: u and p, [T][128] each.
#pragma once

#include <algorithm>

#include "bench/mixers/blocks-inl.h"
#include "bench/mixers/mixer.h"

namespace deciban {

class AftMixer : public Mixer {
 protected:
  static constexpr std::size_t kRank = 128;
  std::size_t inputs() const final { return 3; }
  std::size_t kept_inputs() const final { return 0; }  // what is kept of k and v is scratch
  void draw_biases() {
    u_ = draw(length() * kRank, 0, 0.25f);
    p_ = draw(length() * kRank, 0, 0.25f);
  }
  // Rows `row` … of u times rows `column` … of p.
  void biases(std::size_t row, std::size_t column, Block w) const {
    w.noalias() = block(u_, kRank, row, static_cast<std::size_t>(w.rows()), 0, kRank) *
                  block(p_, kRank, column, static_cast<std::size_t>(w.cols()), 0, kRank).transpose();
  }
  // exp(k) and exp(k) v of rows [row, row + a.rows()).
  void exponentials(std::size_t row, Block a, Block av) const {
    const auto rows = static_cast<std::size_t>(a.rows());
    a.array() = block(input(1).data(), width(), row, rows, 0, width()).array().exp();
    av.array() = a.array() * block(input(2).data(), width(), row, rows, 0, width()).array();
  }
  void gate(std::size_t row, const Block& numerator, const Block& denominator) {
    const auto rows = static_cast<std::size_t>(numerator.rows());
    block(out(), width(), row, rows, 0, width()).array() =
        numerator.array() /
        (denominator.array() * (1 + (-block(input(0).data(), width(), row, rows, 0, width()).array()).exp()));
  }

 private:
  const float *u_ = nullptr, *p_ = nullptr;
};

class AftFullMixer final : public AftMixer {
 public:
  void run() override {
    exponentials(0, block(a_, width(), 0, length(), 0, width()),
                 block(av_, width(), 0, length(), 0, width()));
    for (std::size_t row = 0; row < length(); row += kRows) {
      const std::size_t rows = std::min(kRows, length() - row);
      Block over = block(over_, width(), 0, rows, 0, width()),
            under = block(under_, width(), 0, rows, 0, width());
      over.setZero();
      under.setZero();
      for (std::size_t column = 0; column < row + rows; column += kColumns) {
        const std::size_t columns = std::min(kColumns, row + rows - column);
        Block w = block(w_, kColumns, 0, rows, 0, columns);
        biases(row, column, w);
        w.array() = w.array().exp();
        if (column + columns > row + 1) mask_future(w, row, column, 0.0f);
        over.noalias() += w * block(av_, width(), column, columns, 0, width());
        under.noalias() += w * block(a_, width(), column, columns, 0, width());
      }
      gate(row, over, under);
    }
  }

 protected:
  void setup() override {
    draw_biases();
    a_ = scratch(length() * width());
    av_ = scratch(length() * width());
    w_ = scratch(kRows * kColumns);
    over_ = scratch(kRows * width());
    under_ = scratch(kRows * width());
  }

 private:
  static constexpr std::size_t kRows = 64, kColumns = 256;
  float *a_ = nullptr, *av_ = nullptr, *w_ = nullptr, *over_ = nullptr, *under_ = nullptr;
};

// sum_j exp(w_tj) a_j = (sum of all a_j) + sum within the window of (exp(w_tj) - 1) a_j.
class AftLocalMixer final : public AftMixer {
 public:
  void run() override {
    Eigen::Map<Eigen::RowVectorXf> all_a(sum_a_, index(width())), all_av(sum_av_, index(width()));
    all_a.setZero();
    all_av.setZero();
    for (std::size_t row = 0; row < length(); row += kWindow) {
      const std::size_t rows = std::min(kWindow, length() - row), before = std::min(row, kWindow);
      // The window's earlier rows, then the chunk's own.
      exponentials(row, block(a_, width(), before, rows, 0, width()),
                   block(av_, width(), before, rows, 0, width()));
      Block w = block(w_, 2 * kWindow, 0, rows, 0, before + rows);
      biases(row, row - before, w);
      w.array() = w.array().exp() - 1;
      mask_future(w, before, 0, 0.0f);
      for (std::size_t i = 0; i < rows; ++i) {  // beyond the window: t - j >= s
        const std::size_t hidden = before + i + 1 > kWindow ? before + i + 1 - kWindow : 0;
        w.row(index(i)).head(index(hidden)).setZero();
      }
      const ConstBlock a = block(static_cast<const float*>(a_), width(), 0, before + rows, 0, width()),
                       av = block(static_cast<const float*>(av_), width(), 0, before + rows, 0, width());
      Block over = block(over_, width(), 0, rows, 0, width()),
            under = block(under_, width(), 0, rows, 0, width());
      over.noalias() = w * av;
      under.noalias() = w * a;
      for (std::size_t i = 0; i < rows; ++i) {
        all_a += a.row(index(before + i));
        all_av += av.row(index(before + i));
        over.row(index(i)) += all_av;
        under.row(index(i)) += all_a;
      }
      gate(row, over, under);
      if (rows == kWindow) {
        std::copy_n(a_ + before * width(), kWindow * width(), a_);
        std::copy_n(av_ + before * width(), kWindow * width(), av_);
      }
    }
  }

 protected:
  void setup() override {
    draw_biases();
    a_ = scratch(2 * kWindow * width());
    av_ = scratch(2 * kWindow * width());
    w_ = scratch(2 * kWindow * kWindow);
    over_ = scratch(kWindow * width());
    under_ = scratch(kWindow * width());
    sum_a_ = scratch(width());
    sum_av_ = scratch(width());
  }

 private:
  static constexpr std::size_t kWindow = 64;  // s, and the chunk's rows
  float *a_ = nullptr, *av_ = nullptr, *w_ = nullptr, *over_ = nullptr, *under_ = nullptr, *sum_a_ = nullptr,
        *sum_av_ = nullptr;
};

}  // namespace deciban
