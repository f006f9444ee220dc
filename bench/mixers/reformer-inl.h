// Reformer's attention (arXiv 2001.04451), causal, with shared queries and keys: tokens are hashed by the
// direction of their query, sorted by bucket and position, and attend within chunks of 64 of that order and
// to the chunk before, to tokens of their own bucket that are not later; 2 rounds of hashing, combined by
// their weights. Keys are the queries with length 1; a token attends to itself only where there is nobody
// else.  About T / 64 buckets, hashed in two steps so that this does not grow with T². Inputs: q, v.
// Parameters: for each round and head the rotations of both steps, [64][half], one after the other:
// parameter(round * 2 + step) holds those of all heads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "bench/mixers/blocks-inl.h"
#include "bench/mixers/mixer.h"

namespace deciban {

class ReformerMixer final : public Mixer {
 public:
  void run() override {
    for (std::size_t head = 0; head < width() / kHead; ++head) {
      for (std::size_t round = 0; round < kRounds; ++round) {
        hash(head, round);
        sort();
        for (std::size_t first = 0; first < length(); first += kChunk) chunk(head * kHead, first, round == 0);
      }
    }
  }

 protected:
  static constexpr std::size_t kRounds = 2, kChunk = 64;
  static_assert(kRounds == 2);  // for how chunk() combines them
  static constexpr float kNobody = -1e9f, kSelf = -1e5f;
  std::size_t inputs() const override { return 2; }
  std::size_t kept_inputs() const override { return 2; }
  void setup() override {
    while (steps_[0] * steps_[1] * kChunk < length()) steps_[steps_[0] > steps_[1] ? 1 : 0] *= 2;
    for (std::size_t round = 0; round < kRounds; ++round)
      for (std::size_t step = 0; step < 2; ++step)
        rotations_[round * 2 + step] = draw(width() * (steps_[step] / 2), 0, 1);
    buckets_.resize(length());
    order_.resize(length());
    starts_.resize(steps_[0] * steps_[1] + 1);
    count_scratch((2 * length() + starts_.size()) * sizeof(std::uint32_t));
    turned_ = scratch(kChunk * std::max(steps_[0], steps_[1]));
    queries_ = scratch(kChunk * kHead);
    keys_ = scratch(2 * kChunk * kHead);
    values_ = scratch(2 * kChunk * kHead);
    scores_ = scratch(2 * kChunk * kChunk);
    results_ = scratch(kChunk * kHead);
    weights_ = scratch(length());
  }

 private:
  void hash(std::size_t head, std::size_t round) {
    std::fill(buckets_.begin(), buckets_.end(), 0u);
    for (std::size_t step = 0; step < 2; ++step) {
      const std::size_t half = steps_[step] / 2;
      if (half == 0) continue;
      const ConstBlock rotation =
          block(rotations_[round * 2 + step] + head * kHead * half, half, 0, kHead, 0, half);
      for (std::size_t row = 0; row < length(); row += kChunk) {
        const std::size_t rows = std::min(kChunk, length() - row);
        Block x = block(turned_, half, 0, rows, 0, half);
        x.noalias() = block(input(0).data(), width(), row, rows, head * kHead, kHead) * rotation;
        for (std::size_t i = 0; i < rows; ++i) {
          Eigen::Index most = 0, least = 0;
          const float high = x.row(index(i)).maxCoeff(&most), low = x.row(index(i)).minCoeff(&least);
          const auto bucket = high >= -low
                                  ? static_cast<std::uint32_t>(most)
                                  : static_cast<std::uint32_t>(half) + static_cast<std::uint32_t>(least);
          buckets_[row + i] = buckets_[row + i] * static_cast<std::uint32_t>(steps_[step]) + bucket;
        }
      }
    }
  }

  // By bucket, then position, by counting.
  void sort() {
    std::fill(starts_.begin(), starts_.end(), 0u);
    for (const std::uint32_t bucket : buckets_) ++starts_[bucket + 1];
    for (std::size_t i = 1; i < starts_.size(); ++i) starts_[i] += starts_[i - 1];
    for (std::size_t t = 0; t < length(); ++t) order_[starts_[buckets_[t]]++] = static_cast<std::uint32_t>(t);
  }

  void chunk(std::size_t channel, std::size_t first, bool first_round) {
    const std::size_t rows = std::min(kChunk, length() - first), begin = first - std::min(first, kChunk);
    const std::size_t columns = first + rows - begin;
    Block q = block(queries_, kHead, 0, rows, 0, kHead), k = block(keys_, kHead, 0, columns, 0, kHead),
          v = block(values_, kHead, 0, columns, 0, kHead),
          s = block(scores_, 2 * kChunk, 0, rows, 0, columns),
          result = block(results_, kHead, 0, rows, 0, kHead);
    using Channels = Eigen::Matrix<float, 1, kHead>;
    using In = Eigen::Map<const Channels>;
    for (std::size_t j = 0; j < columns; ++j) {
      const std::size_t at = order_[begin + j] * width() + channel;
      const In x(input(0).data() + at);
      k.row(index(j)) = x / (x.norm() + 1e-6f);
      v.row(index(j)) = In(input(1).data() + at);
    }
    for (std::size_t i = 0; i < rows; ++i)
      q.row(index(i)) = In(input(0).data() + order_[first + i] * width() + channel) * 0.125f;
    s.noalias() = q * k.transpose();
    for (std::size_t i = 0; i < rows; ++i) {
      const std::uint32_t own = order_[first + i], bucket = buckets_[own];
      float* row = scores_ + i * 2 * kChunk;
      for (std::size_t j = 0; j < columns; ++j) {
        const std::uint32_t other = order_[begin + j];
        if (other > own || buckets_[other] != bucket) {
          row[j] = kNobody;
        } else if (other == own) {
          row[j] = kSelf;
        }
      }
      auto scores = s.row(index(i));
      const float most = scores.maxCoeff();
      scores = (scores.array() - most).exp();
      const float total = scores.sum();
      scores /= total;
      // The log of what this round gives its tokens altogether.
      weight_[i] = most + std::log(total);
    }
    result.noalias() = s * v;
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t t = order_[first + i];
      Eigen::Map<Channels> out(this->out() + t * width() + channel);
      if (first_round) {
        out = result.row(index(i));
        weights_[t] = weight_[i];
        continue;
      }
      // Not by way of the sum's logarithm: beside kSelf, f32 has steps of 0.008.
      const float share = 1 / (1 + std::exp(weight_[i] - weights_[t]));
      out = out * share + result.row(index(i)) * (1 - share);
    }
  }

  std::size_t steps_[2] = {1, 1};  // buckets of both steps of a hash; 1 or even
  const float* rotations_[2 * kRounds] = {};
  std::vector<std::uint32_t> buckets_, order_, starts_;
  float *turned_ = nullptr, *queries_ = nullptr, *keys_ = nullptr, *values_ = nullptr, *scores_ = nullptr,
        *results_ = nullptr, *weights_ = nullptr;
  float weight_[kChunk] = {};
};

}  // namespace deciban
