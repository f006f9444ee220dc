// Packing weights into groups: of four bits with the scale and the minimum that lose least, of eight bits
// with a scale.  Included by kernels.cc alone.
#pragma once

#include <cstring>

#include "engine/cpu/simd.h"
#include "engine/cpu/tiles-inl.h"

namespace deciban::cpu {
namespace {

using namespace simd;

// What is packed: rows [0, outputs) of a panel, the other outputs zero.
struct PanelRows {
  const float* rows;
  std::size_t stride, outputs, inputs;

  // Inputs [k, k + kWidth) of outputs [n, n + kWidth), one vector an input; what lies outside is zero.
  void square(std::size_t k, std::size_t n, V (&columns)[kWidth]) const {
    for (std::size_t i = 0; i < kWidth; ++i) {
      if (n + i >= outputs) {
        columns[i] = zero();
      } else if (k + kWidth <= inputs) {
        columns[i] = load(rows + (n + i) * stride + k);
      } else {
        alignas(64) float row[kWidth] = {};
        std::memcpy(row, rows + (n + i) * stride + k, (inputs - k) * sizeof(float));
        columns[i] = load(row);
      }
    }
    transpose(columns);
  }
};

// To bf16, to nearest even, in the upper half.
inline I round_bf16(V value) {
  const I u = bits(value);
  return add_int(u, add_int(and_int(right<16>(u), set_int(1)), set_int(0x7fff)));
}

inline V to_bf16(V value) { return second_of_pairs(round_bf16(value)); }

// The weights of one group, of kWidth outputs at once.  No fused multiply-adds here: what is chosen is then
// the same on every instruction set.
class GroupFit {
 public:
  static constexpr std::size_t kMost = 64;

  // Inputs [first, first + count) of outputs [n, n + kWidth).
  GroupFit(const PanelRows& from, std::size_t first, std::size_t count, std::size_t n) : count_(count) {
    for (std::size_t k = 0; k < count; k += kWidth) {
      V columns[kWidth];
      from.square(first + k, n, columns);
      for (std::size_t i = 0; i < kWidth && k + i < count; ++i) x_[k + i] = columns[i];
    }
    low_ = high_ = x_[0];
    V total = zero();
    for (std::size_t k = 0; k < count; ++k) {
      low_ = min(low_, x_[k]);
      high_ = max(high_, x_[k]);
      total = add(total, x_[k]);
      damage_ = add(damage_, sub(x_[k], x_[k]));
    }
    mean_ = div(total, set(static_cast<float>(count)));
    search();
    damage_ = add(damage_, sub(scale_, scale_));
  }

  V scale() const { return scale_; }
  V least() const { return least_; }
  V damage() const { return damage_; }  // 0, or NaN where something is not finite
  // Inputs [k, k + 8) as eight times four bits; zeros behind the last.
  I word(std::size_t k) const {
    const V inverse = inverse_of(scale_);
    I all = set_int(0);
    for (std::size_t i = 8; i-- > 0;) {
      all = left<4>(all);
      if (k + i < count_) all = or_int(all, to_int(step(x_[k + i], least_, inverse)));
    }
    return all;
  }

 private:
  // From the whole range of the weights and from parts of it, each then once as least squares would have it
  // for the steps taken; what leaves the least squared error of all is kept.
  void search() {
    constexpr float kParts[] = {1.0f, 0.94f, 0.88f, 0.82f, 0.75f};
    V best = set(3e38f);
    scale_ = zero();
    least_ = to_bf16(mean_);
    const V middle = mul(add(low_, high_), set(0.5f)), range = sub(high_, low_);
    for (const float part : kParts) {
      const V width = mul(range, set(part));
      V scale = div(width, set(15.0f)), least = sub(middle, mul(width, set(0.5f)));
      for (int round = 0; round < 3; ++round) {
        scale = to_bf16(scale);
        least = to_bf16(least);
        const V error = refine(scale, least);
        const M better = greater(best, error);
        best = select(better, error, best);
        scale_ = select(better, tried_scale_, scale_);
        least_ = select(better, tried_least_, least_);
      }
    }
  }

  // The squared error with these; then makes of them what least squares says.
  V refine(V& scale, V& least) {
    tried_scale_ = scale;
    tried_least_ = least;
    const V inverse = inverse_of(scale);
    V error = zero(), steps = zero(), squares = zero(), products = zero();
    for (std::size_t k = 0; k < count_; ++k) {
      const V q = step(x_[k], least, inverse);
      const V off = sub(add(mul(q, scale), least), x_[k]);
      error = add(error, mul(off, off));
      steps = add(steps, q);
      squares = add(squares, mul(q, q));
      products = add(products, mul(q, sub(x_[k], mean_)));
    }
    const V mean_step = div(steps, set(static_cast<float>(count_)));
    const V spread = sub(squares, mul(steps, mean_step));
    const M known = greater(spread, set(0.25f));
    scale = select(known, div(products, spread), scale);
    least = select(known, sub(mean_, mul(scale, mean_step)), least);
    return error;
  }

  static V inverse_of(V scale) {
    return select(greater(scale, set(0x1p-100f)), div(set(1.0f), scale), zero());
  }
  static V step(V x, V least, V inverse) {
    return min(set(15.0f), max(zero(), round(mul(sub(x, least), inverse))));
  }

  std::size_t count_;
  V x_[kMost], low_, high_, mean_, scale_, least_, tried_scale_, tried_least_, damage_ = zero();
};

bool pack_i4(const PanelRows& from, std::size_t group, std::byte* panel) {
  V damage = zero();
  for (std::size_t first = 0; first < from.inputs; first += group) {
    const std::size_t count = from.inputs - first < group ? from.inputs - first : group;
    for (std::size_t n = 0; n < kPanel; n += kWidth) {
      const GroupFit fit(from, first, count, n);
      damage = add(damage, fit.damage());
      store_int(panel + n * 4, or_int(right<16>(bits(fit.scale())), bits(fit.least())));
      for (std::size_t k = 0; k < group; k += 8) {
        store_int(panel + ((1 + k / 8) * kPanel + n) * 4, fit.word(k));
      }
    }
    panel += (1 + group / 8) * kPanel * 4;
  }
  return sum(damage) == 0.0f;
}

// 32 weights with one scale, the largest magnitude becoming 127 steps (126 or 128 where bf16 rounds it up or
// down, 127 then).
bool pack_i8_groups(const PanelRows& from, std::byte* panel) {
  constexpr std::size_t kGroup = group_of(WeightFormat::i8g32), kRun = 2 * kGroup;
  V damage = zero(), x[kGroup];
  for (std::size_t first = 0; first < from.inputs; first += kRun) {
    for (std::size_t n = 0; n < kPanel; n += kWidth) {
      I head = set_int(0);
      for (std::size_t begin = first; begin < first + kRun; begin += kGroup) {
        V top = zero();
        for (std::size_t k = 0; k < kGroup; k += kWidth) {
          V columns[kWidth];
          if (begin + k < from.inputs) {
            from.square(begin + k, n, columns);
          } else {
            for (V& column : columns) column = zero();
          }
          for (std::size_t i = 0; i < kWidth; ++i) {
            x[k + i] = columns[i];
            top = max(top, abs(columns[i]));
            damage = add(damage, sub(columns[i], columns[i]));
          }
        }
        const V scale = to_bf16(div(top, set(127.0f)));
        damage = add(damage, sub(scale, scale));
        const V inverse = select(greater(scale, set(0x1p-100f)), div(set(1.0f), scale), zero());
        head = begin == first ? right<16>(bits(scale)) : or_int(head, bits(scale));
        for (std::size_t k = 0; k < kGroup; k += 4) {
          I word = set_int(0);
          for (std::size_t i = 4; i-- > 0;) {
            const V q = min(set(127.0f), max(set(-127.0f), round(mul(x[k + i], inverse))));
            word = or_int(left<8>(word), to_int(add(q, set(128.0f))));
          }
          store_int(panel + ((1 + (begin - first + k) / 4) * kPanel + n) * 4, word);
        }
      }
      store_int(panel + n * 4, head);
    }
    panel += (1 + kRun / 4) * kPanel * 4;
  }
  return sum(damage) == 0.0f;
}

}  // namespace
}  // namespace deciban::cpu
