// Row operations: normalisation, token shift and mixing, and the recurrence of RWKV-4.  Included by
// kernels.cc alone.
#pragma once

#include <cmath>

#include "engine/cpu/kernels.h"
#include "engine/cpu/simd.h"

namespace deciban::cpu {
namespace {

using namespace simd;

inline std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// Mean and 1 / sqrt(variance + eps) of `columns` values, in two passes, so that the variance never cancels.
struct Moments {
  float mean, inverse;
};
inline Moments moments(const float* x, std::size_t columns, float eps) {
  const std::size_t whole = columns / kWidth * kWidth;
  V total = zero();
  for (std::size_t c = 0; c < whole; c += kWidth) total = add(total, load(x + c));
  float mean = sum(total);
  for (std::size_t c = whole; c < columns; ++c) mean += x[c];
  mean /= static_cast<float>(columns);
  const V centre = set(mean);
  V squares = zero();
  for (std::size_t c = 0; c < whole; c += kWidth) {
    const V d = sub(load(x + c), centre);
    squares = fma(d, d, squares);
  }
  float variance = sum(squares);
  for (std::size_t c = whole; c < columns; ++c) variance += (x[c] - mean) * (x[c] - mean);
  variance /= static_cast<float>(columns);
  return {mean, 1.0f / std::sqrt(variance + eps)};
}

inline V normalise(V x, const Moments& m, const float* weight, const float* bias) {
  return fma(mul(sub(x, set(m.mean)), set(m.inverse)), load(weight), load(bias));
}

inline void put(void* out, bool bf16, std::size_t at, V value) {
  if (bf16) {
    store_bf16(static_cast<std::uint16_t*>(out) + at, value);
  } else {
    store(static_cast<float*>(out) + at, value);
  }
}

// Mean 0 and 1 / sqrt(mean square + eps).
inline Moments mean_square(const float* x, std::size_t columns, float eps) {
  const std::size_t whole = columns / kWidth * kWidth;
  V squares = zero();
  for (std::size_t c = 0; c < whole; c += kWidth) squares = fma(load(x + c), load(x + c), squares);
  float total = sum(squares);
  for (std::size_t c = whole; c < columns; ++c) total += x[c] * x[c];
  return {0.0f, 1.0f / std::sqrt(total / static_cast<float>(columns) + eps)};
}

// Writes whole vectors: the padding behind `columns` becomes bias = 0 there, weights being padded with zeros.
void norm(const float* x, std::size_t columns, const NormArgs& n, void* out, bool out_bf16) {
  const Moments m = n.rms ? mean_square(x, columns, n.eps) : moments(x, columns, n.eps);
  if (n.bias != nullptr) {
    for (std::size_t c = 0; c < columns; c += kWidth) {
      put(out, out_bf16, c, normalise(load(x + c), m, n.weight + c, n.bias + c));
    }
    return;
  }
  for (std::size_t c = 0; c < columns; c += kWidth) {
    put(out, out_bf16, c, mul(mul(sub(load(x + c), set(m.mean)), set(m.inverse)), load(n.weight + c)));
  }
}

void norm_mix(const NormMixArgs& a) {
  const NormArgs layer{a.weight, a.bias, a.eps, false};
  float* current = a.scratch;
  float* previous = a.scratch + round_up(a.columns, 32);
  for (std::size_t row = a.row_begin; row < a.row_end; ++row) {
    const float* before = a.starts[row];
    if (before == nullptr) {
      if (row == a.row_begin) {  // the row before belongs to another thread's range: computed again, to the
                                 // same bits
        norm(a.x + (row - 1) * a.x_stride, a.columns, layer, previous, false);
      }
      before = previous;
    }
    norm(a.x + row * a.x_stride, a.columns, layer, current, false);
    for (std::size_t c = 0; c < a.columns; c += kWidth) {
      const V h = load(current + c);
      const V h_prev = load(before + c);
      const V d = sub(h_prev, h);
      for (std::size_t i = 0; i < a.mixes; ++i) {
        put(a.out[i], a.out_bf16[i], row * a.out_stride[i] + c, fma(d, load(a.mix[i] + c), h));
      }
      if (a.h != nullptr) store(a.h + row * a.h_stride + c, h);
      if (a.h_prev != nullptr) store(a.h_prev + row * a.h_prev_stride + c, h_prev);
    }
    float* swap = current;
    current = previous;
    previous = swap;
  }
}

// e^{a - max(a, b)} and e^{b - max(a, b)} from d = a - b: one of the two is 1, so one exponential serves
// both.
inline void exp_pair(V d, V& ea, V& eb) {
  const V e = exp(sub(zero(), abs(d)));
  const M first = greater(d, zero());
  ea = select(first, set(1.0f), e);
  eb = select(first, e, set(1.0f));
}

// `state` holds numerator, denominator and running exponent of each channel (rwkv.md §3.2), and what the
// exponent lost to rounding: it is added to at every token, and with keys near 90 its error alone would reach
// 1e-3 in a few hundred.
void wkv4(const Wkv4Args& a) {
  for (std::size_t c = a.channel_begin; c < a.channel_end; c += kWidth) {
    float* state = a.state + c;
    V aa = load(state), bb = load(state + a.channels_total), pp = load(state + 2 * a.channels_total),
      lost = load(state + 3 * a.channels_total);
    const V w = load(a.w + c), u = load(a.u + c);
    for (std::size_t t = 0; t < a.rows; ++t) {
      const V k = load(a.k + t * a.k_stride + c), v = load(a.v + t * a.v_stride + c);
      V e1, e2;
      exp_pair(add(sub(pp, add(u, k)), lost), e1, e2);
      const V top = fma(e1, aa, mul(e2, v)), bottom = fma(e1, bb, e2);
      put(a.out, a.out_bf16, t * a.out_stride + c, mul(load(a.r + t * a.r_stride + c), div(top, bottom)));
      const V decayed = add(pp, w);
      const V w_rounded = sub(decayed, pp);  // the exact error of the sum (Knuth)
      lost = add(lost, add(sub(pp, sub(decayed, w_rounded)), sub(w, w_rounded)));
      const V d = add(sub(decayed, k), lost);
      exp_pair(d, e1, e2);
      aa = fma(e1, aa, mul(e2, v));
      bb = fma(e1, bb, e2);
      const M old = greater(d, zero());
      pp = select(old, decayed, k);
      lost = select(old, lost, zero());
    }
    store(state, aa);
    store(state + a.channels_total, bb);
    store(state + 2 * a.channels_total, pp);
    store(state + 3 * a.channels_total, lost);
  }
}

}  // namespace
}  // namespace deciban::cpu
