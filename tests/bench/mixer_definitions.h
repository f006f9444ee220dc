// Naive float64 definitions of the mixers of Table 1: the formulas of their papers, one sum after the other,
// from the mixers' own inputs and parameters.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "bench/mixers/mixer.h"

namespace deciban {

class MixerDefinition {
 public:
  explicit MixerDefinition(const Mixer& m) : m_(m), T_(m.length()), d_(m.width()), y_(T_ * d_) {}

  std::vector<double> of(const std::string& name) {
    if (name == "attention") attention();
    if (name == "reformer") reformer();
    if (name == "performer") kernelised(256, [&](const double* x, std::size_t f) { return favor(x, f); });
    if (name == "linear")
      kernelised(kHead, [](const double* x, std::size_t f) { return x[f] > 0 ? x[f] + 1 : std::exp(x[f]); });
    if (name == "aft-full") aft(T_);
    if (name == "aft-local") aft(64);
    if (name == "mega") mega();
    if (name == "hyena") hyena();
    if (name == "rwkv4") rwkv4();
    if (name == "rwkv7") rwkv7();
    return y_;
  }

 private:
  static constexpr std::size_t kHead = Mixer::kHead;

  double in(std::size_t i, std::size_t t, std::size_t c) const { return m_.input(i)[t * d_ + c]; }
  double par(std::size_t i, std::size_t at) const { return m_.parameter(i)[at]; }
  double& y(std::size_t t, std::size_t c) { return y_[t * d_ + c]; }
  static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

  void attention() {
    for (std::size_t c = 0; c < d_; c += kHead) {
      for (std::size_t t = 0; t < T_; ++t) {
        std::vector<double> p(t + 1);
        double total = 0;
        for (std::size_t j = 0; j <= t; ++j) {
          double dot = 0;
          for (std::size_t i = c; i < c + kHead; ++i) dot += in(0, t, i) * in(1, j, i);
          total += p[j] = std::exp(dot / 8);
        }
        for (std::size_t j = 0; j <= t; ++j)
          for (std::size_t i = c; i < c + kHead; ++i) y(t, i) += p[j] / total * in(2, j, i);
      }
    }
  }

  double favor(const double* x, std::size_t f) const {
    double dot = 0, square = 0;
    for (std::size_t i = 0; i < kHead; ++i) {
      const double scaled = x[i] / std::pow(64.0, 0.25);
      dot += par(1, f * kHead + i) * scaled;
      square += scaled * scaled;
    }
    return std::exp(dot - square / 2);
  }

  void kernelised(std::size_t features, const std::function<double(const double*, std::size_t)>& phi) {
    for (std::size_t c = 0; c < d_; c += kHead) {
      std::vector<double> q(T_ * features), k(T_ * features);
      for (std::size_t t = 0; t < T_; ++t) {
        double xq[kHead], xk[kHead];
        for (std::size_t i = 0; i < kHead; ++i) xq[i] = in(0, t, c + i), xk[i] = in(1, t, c + i);
        for (std::size_t f = 0; f < features; ++f)
          q[t * features + f] = phi(xq, f), k[t * features + f] = phi(xk, f);
      }
      for (std::size_t t = 0; t < T_; ++t) {
        double total = 0;
        for (std::size_t j = 0; j <= t; ++j) {
          double weight = 0;
          for (std::size_t f = 0; f < features; ++f) weight += q[t * features + f] * k[j * features + f];
          total += weight;
          for (std::size_t i = c; i < c + kHead; ++i) y(t, i) += weight * in(2, j, i);
        }
        for (std::size_t i = c; i < c + kHead; ++i) y(t, i) /= total;
      }
    }
  }

  void aft(std::size_t window) {
    for (std::size_t t = 0; t < T_; ++t) {
      std::vector<double> bias(t + 1);
      for (std::size_t j = 0; j <= t; ++j)
        for (std::size_t r = 0; r < 128 && t - j < window; ++r)
          bias[j] += par(0, t * 128 + r) * par(1, j * 128 + r);
      for (std::size_t c = 0; c < d_; ++c) {
        double over = 0, under = 0;
        for (std::size_t j = 0; j <= t; ++j) {
          const double a = std::exp(in(1, j, c) + bias[j]);
          over += a * in(2, j, c);
          under += a;
        }
        y(t, c) = sigmoid(in(0, t, c)) * over / under;
      }
    }
  }

  void mega() {
    constexpr std::size_t kStates = 16, kChunk = 128;
    std::vector<double> q(T_ * d_), k(T_ * d_);
    for (std::size_t c = 0; c < d_; ++c) {
      double h[kStates] = {};
      for (std::size_t t = 0; t < T_; ++t) {
        double e = 0;
        for (std::size_t n = 0; n < kStates; ++n) {
          const std::size_t at = n * d_ + c;
          h[n] = par(0, at) * par(2, at) * in(0, t, c) + (1 - par(0, at) * par(1, at)) * h[n];
          e += par(3, at) * h[n];
        }
        q[t * d_ + c] = par(4, c) * e + par(5, c);
        k[t * d_ + c] = par(6, c) * e + par(7, c);
      }
    }
    for (std::size_t t = 0; t < T_; ++t) {
      double total = 0;
      for (std::size_t j = t / kChunk * kChunk; j <= t; ++j) {
        double dot = 0;
        for (std::size_t c = 0; c < d_; ++c) dot += q[t * d_ + c] * k[j * d_ + c];
        const double p = std::exp(dot / std::sqrt(static_cast<double>(d_)));
        total += p;
        for (std::size_t c = 0; c < d_; ++c) y(t, c) += p * in(1, j, c);
      }
      for (std::size_t c = 0; c < d_; ++c) y(t, c) /= total;
    }
  }

  void hyena() {
    for (std::size_t c = 0; c < d_; ++c) {
      for (std::size_t t = 0; t < T_; ++t) {
        double sum = par(1, c) * in(1, t, c) * in(2, t, c);
        for (std::size_t j = 0; j <= t; ++j) sum += par(0, (t - j) * d_ + c) * in(1, j, c) * in(2, j, c);
        y(t, c) = in(0, t, c) * sum;
      }
    }
  }

  void rwkv4() {
    for (std::size_t c = 0; c < d_; ++c) {
      for (std::size_t t = 0; t < T_; ++t) {
        double over = 0, under = 0;
        for (std::size_t j = 0; j <= t; ++j) {
          const double e =
              j == t ? par(1, c) + in(1, t, c) : in(1, j, c) - static_cast<double>(t - 1 - j) * par(0, c);
          over += std::exp(e) * in(2, j, c);
          under += std::exp(e);
        }
        y(t, c) = sigmoid(in(0, t, c)) * over / under;
      }
    }
  }

  void rwkv7() {
    for (std::size_t c = 0; c < d_; c += kHead) {
      std::vector<double> s(kHead * kHead);  // [value][key], as the paper writes it
      for (std::size_t t = 0; t < T_; ++t) {
        for (std::size_t i = 0; i < kHead; ++i) {
          double* row = s.data() + i * kHead;
          double removed = 0;
          for (std::size_t j = 0; j < kHead; ++j) removed += row[j] * in(4, t, c + j);
          for (std::size_t j = 0; j < kHead; ++j) {
            row[j] = row[j] * in(1, t, c + j) + removed * in(5, t, c + j) + in(3, t, c + i) * in(2, t, c + j);
            y(t, c + i) += row[j] * in(0, t, c + j);
          }
        }
      }
    }
  }

  // Buckets from rotations as in the paper's §2, in two steps.
  std::vector<std::size_t> buckets(std::size_t head, std::size_t round) const {
    std::size_t steps[2] = {1, 1};
    while (steps[0] * steps[1] * 64 < T_) steps[steps[0] > steps[1] ? 1 : 0] *= 2;
    std::vector<std::size_t> out(T_);
    for (std::size_t t = 0; t < T_; ++t) {
      for (std::size_t step = 0; step < 2; ++step) {
        const std::size_t half = steps[step] / 2;
        if (half == 0) continue;
        std::vector<double> x(2 * half);
        for (std::size_t h = 0; h < half; ++h) {
          for (std::size_t i = 0; i < kHead; ++i)
            x[h] += in(0, t, head * kHead + i) * par(round * 2 + step, (head * kHead + i) * half + h);
          x[half + h] = -x[h];
        }
        const auto most = static_cast<std::size_t>(std::max_element(x.begin(), x.end()) - x.begin());
        out[t] = out[t] * steps[step] + most;
      }
    }
    return out;
  }

  void reformer() {
    for (std::size_t head = 0; head < d_ / kHead; ++head) {
      const std::size_t c = head * kHead;
      std::vector<std::vector<double>> weight(2), result(2);
      for (std::size_t round = 0; round < 2; ++round) {
        const std::vector<std::size_t> bucket = buckets(head, round);
        std::vector<std::size_t> order(T_), place(T_);
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::stable_sort(order.begin(), order.end(),
                         [&](std::size_t a, std::size_t b) { return bucket[a] < bucket[b]; });
        for (std::size_t i = 0; i < T_; ++i) place[order[i]] = i;
        weight[round].assign(T_, 0);
        result[round].assign(T_ * kHead, 0);
        for (std::size_t t = 0; t < T_; ++t) {
          const auto share = [&](std::size_t j) {
            double dot = 0, square = 0;
            for (std::size_t i = c; i < c + kHead; ++i)
              dot += in(0, t, i) * in(0, j, i), square += in(0, j, i) * in(0, j, i);
            return std::exp(dot / std::sqrt(square) / 8);
          };
          bool alone = true;
          for (std::size_t j = 0; j < t; ++j) {
            const std::size_t chunk = place[t] / 64, other = place[j] / 64;
            if (bucket[j] != bucket[t] || (other != chunk && other + 1 != chunk)) continue;
            alone = false;
            const double p = share(j);
            weight[round][t] += p;
            for (std::size_t i = 0; i < kHead; ++i) result[round][t * kHead + i] += p * in(1, j, c + i);
          }
          for (std::size_t i = 0; i < kHead; ++i) {
            double& value = result[round][t * kHead + i];
            value = alone ? in(1, t, c + i) : value / weight[round][t];
          }
          // Nobody but itself: e^-100000 of a weight beside any other round's.
          if (alone) weight[round][t] = 0;
        }
      }
      for (std::size_t t = 0; t < T_; ++t) {
        const double total = weight[0][t] + weight[1][t];
        const double first = total == 0 ? 0.5 : weight[0][t] / total;
        for (std::size_t i = 0; i < kHead; ++i)
          y(t, c + i) = first * result[0][t * kHead + i] + (1 - first) * result[1][t * kHead + i];
      }
    }
  }

  const Mixer& m_;
  const std::size_t T_, d_;
  std::vector<double> y_;
};

}  // namespace deciban
