// The matrix-valued recurrences of RWKV-5, 6 and 7, one head at a time.  Included by kernels.cc alone.
//
// The state is S[key][value]; a block of kWidth * NV values is independent of the others, so the loops run
// over blocks of values outside and tokens inside, and a block of S (at most 64 x 64) stays in the L1 cache.
#pragma once

#include <cstring>

#include "engine/cpu/rows-inl.h"

namespace deciban::cpu {
namespace {

using namespace simd;

// Applies f.template operator()<NV>(first value) to blocks that cover all N values (N a multiple of 16).
template <typename F>
inline void for_value_blocks(std::size_t size, const F& f) {
  std::size_t i = 0;
  for (; i + 4 * kWidth <= size; i += 4 * kWidth) f.template operator()<4>(i);
  for (; i + 2 * kWidth <= size; i += 2 * kWidth) f.template operator()<2>(i);
  for (; i + kWidth <= size; i += kWidth) f.template operator()<1>(i);
}

// out = (GN(y) + bonus * v) * g for one token of one head.
inline void finish_head(const WkvHeadArgs& a, std::size_t t, const float* y, float bonus) {
  const Moments m = moments(y, a.size, a.group_eps);
  for (std::size_t c = 0; c < a.size; c += kWidth) {
    V value = normalise(load(y + c), m, a.group_weight + c, a.group_bias + c);
    if (bonus != 0.0f) value = fma(set(bonus), load(a.v + t * a.v_stride + c), value);
    if (a.g != nullptr) value = mul(value, load(a.g + t * a.g_stride + c));
    put(a.out, a.out_bf16, t * a.out_stride + c, value);
  }
}

// For head sizes that are no multiple of the vector width (none is published): the same formulas, element by
// element.
inline void finish_head_plain(const WkvHeadArgs& a, std::size_t t, const float* y, float bonus) {
  float mean = 0, variance = 0;
  for (std::size_t c = 0; c < a.size; ++c) mean += y[c];
  mean /= static_cast<float>(a.size);
  for (std::size_t c = 0; c < a.size; ++c) variance += (y[c] - mean) * (y[c] - mean);
  const float inverse = 1.0f / std::sqrt(variance / static_cast<float>(a.size) + a.group_eps);
  for (std::size_t c = 0; c < a.size; ++c) {
    float value =
        (y[c] - mean) * inverse * a.group_weight[c] + a.group_bias[c] + bonus * a.v[t * a.v_stride + c];
    if (a.g != nullptr) value *= a.g[t * a.g_stride + c];
    if (a.out_bf16) {
      std::uint32_t bits;
      std::memcpy(&bits, &value, 4);
      static_cast<std::uint16_t*>(a.out)[t * a.out_stride + c] =
          static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    } else {
      static_cast<float*>(a.out)[t * a.out_stride + c] = value;
    }
  }
}

inline void wkv5_plain(const WkvHeadArgs& a) {
  const std::size_t n = a.size;
  float* y = a.scratch;
  for (std::size_t t = 0; t < a.rows; ++t) {
    for (std::size_t i = 0; i < n; ++i) y[i] = 0;
    for (std::size_t j = 0; j < n; ++j) {
      const float r = a.r[t * a.r_stride + j], w = a.w[t * a.w_stride + j], k = a.k[t * a.k_stride + j];
      for (std::size_t i = 0; i < n; ++i) {
        const float kv = k * a.v[t * a.v_stride + i];
        float& s = a.state[j * n + i];
        y[i] += r * (s + a.bonus[j] * kv);
        s = w * s + kv;
      }
    }
    finish_head_plain(a, t, y, 0.0f);
  }
}

// Brings the rows of a token a tile ahead: they lie in pages of their own, where the hardware does not look.
inline void bring_token(const WkvHeadArgs& a, std::size_t t) {
  t += kWkvTile;
  if (t >= a.rows) return;
  const auto row = [&](const float* p, std::size_t stride) {
    for (std::size_t c = 0; p != nullptr && c < a.size; c += 16) {
      prefetch(p + t * stride + c);
    }
  };
  row(a.r, a.r_stride);
  row(a.w, a.w_stride);
  row(a.k, a.k_stride);
  row(a.v, a.v_stride);
  row(a.a, a.a_stride);
  row(a.g, a.g_stride);
}

void wkv5(const WkvHeadArgs& a) {
  const std::size_t n = a.size;
  if (n % kWidth != 0) return wkv5_plain(a);
  float* y = a.scratch;          // [kWkvTile][N]
  float* uk = y + kWkvTile * n;  // [kWkvTile][N]: u * k
  for (std::size_t t0 = 0; t0 < a.rows; t0 += kWkvTile) {
    const std::size_t tokens = a.rows - t0 < kWkvTile ? a.rows - t0 : kWkvTile;
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t c = 0; c < n; c += kWidth) {
        store(uk + t * n + c, mul(load(a.bonus + c), load(a.k + (t0 + t) * a.k_stride + c)));
      }
    }
    for_value_blocks(n, [&]<int NV>(std::size_t i) {
      for (std::size_t t = 0; t < tokens; ++t) {
        const float* r = a.r + (t0 + t) * a.r_stride;
        const float* w = a.w + (t0 + t) * a.w_stride;
        const float* k = a.k + (t0 + t) * a.k_stride;
        if (i == 0) bring_token(a, t0 + t);
        V v[NV], out[NV];
#pragma GCC unroll 4
        for (int b = 0; b < NV; ++b) {
          v[b] = load(a.v + (t0 + t) * a.v_stride + i + b * kWidth);
          out[b] = zero();
        }
        for (std::size_t j = 0; j < n; ++j) {
          float* s = a.state + j * n + i;
          const V rj = set(r[j]), wj = set(w[j]), kj = set(k[j]), ukj = set(uk[t * n + j]);
#pragma GCC unroll 4
          for (int b = 0; b < NV; ++b) {
            const V old = load(s + b * kWidth);
            out[b] = fma(rj, fma(ukj, v[b], old), out[b]);
            store(s + b * kWidth, fma(wj, old, mul(kj, v[b])));
          }
        }
#pragma GCC unroll 4
        for (int b = 0; b < NV; ++b) store(y + t * n + i + b * kWidth, out[b]);
      }
    });
    for (std::size_t t = 0; t < tokens; ++t) finish_head(a, t0 + t, y + t * n, 0.0f);
  }
}

// Per-token vectors of RWKV-7 that the recurrence reads once per block of values.
struct Prepared7 {
  float* minus_kk;  // [kWkvTile + 1][N]; the row behind the last token is zero
  float* kk_a;      // [kWkvTile][N]
  float* k;         // [kWkvTile][N]
  float* y;         // [kWkvTile][N]
};

inline void prepare7(const WkvHeadArgs& a, std::size_t t, std::size_t slot, const Prepared7& p) {
  const std::size_t n = a.size;
  const float* k0 = a.k + t * a.k_stride;
  const float* rate = a.a + t * a.a_stride;
  V squares = zero();
  for (std::size_t c = 0; c < n; c += kWidth) {
    const V kk = mul(load(k0 + c), load(a.k_k + c));
    squares = fma(kk, kk, squares);
  }
  const float length = std::sqrt(sum(squares));
  const V inverse = set(1.0f / (length > 1e-12f ? length : 1e-12f));
  for (std::size_t c = 0; c < n; c += kWidth) {
    const V k = load(k0 + c), ac = load(rate + c);
    const V kk = mul(mul(k, load(a.k_k + c)), inverse);
    store(p.minus_kk + slot * n + c, sub(zero(), kk));
    store(p.kk_a + slot * n + c, mul(kk, ac));
    store(p.k + slot * n + c, mul(k, fma(sub(ac, set(1.0f)), load(a.k_a + c), set(1.0f))));
  }
}

template <int NV>
inline void block7(const WkvHeadArgs& a, std::size_t t0, std::size_t tokens, std::size_t i,
                   const Prepared7& p) {
  const std::size_t n = a.size;
  V sa[NV];
#pragma GCC unroll 4
  for (int b = 0; b < NV; ++b) sa[b] = zero();
  for (std::size_t j = 0; j < n; ++j) {
    const V kk = set(p.minus_kk[j]);
#pragma GCC unroll 4
    for (int b = 0; b < NV; ++b) sa[b] = fma(load(a.state + j * n + i + b * kWidth), kk, sa[b]);
  }
  for (std::size_t t = 0; t < tokens; ++t) {
    const float* r = a.r + (t0 + t) * a.r_stride;
    const float* w = a.w + (t0 + t) * a.w_stride;
    const float* kk_a = p.kk_a + t * n;
    const float* k = p.k + t * n;
    const float* next_kk = p.minus_kk + (t + 1) * n;
    if (i == 0) bring_token(a, t0 + t);
    V v[NV], out[NV], next[NV];
#pragma GCC unroll 4
    for (int b = 0; b < NV; ++b) {
      v[b] = load(a.v + (t0 + t) * a.v_stride + i + b * kWidth);
      out[b] = zero();
      next[b] = zero();
    }
    for (std::size_t j = 0; j < n; ++j) {
      float* s = a.state + j * n + i;
      const V wj = set(w[j]), bj = set(kk_a[j]), kj = set(k[j]), rj = set(r[j]), nj = set(next_kk[j]);
#pragma GCC unroll 4
      for (int b = 0; b < NV; ++b) {
        V value = mul(load(s + b * kWidth), wj);
        value = fma(sa[b], bj, value);
        value = fma(v[b], kj, value);
        store(s + b * kWidth, value);
        out[b] = fma(value, rj, out[b]);
        next[b] = fma(value, nj, next[b]);  // the next token's sa, from the state it will see
      }
    }
#pragma GCC unroll 4
    for (int b = 0; b < NV; ++b) {
      store(p.y + t * n + i + b * kWidth, out[b]);
      sa[b] = next[b];
    }
  }
}

inline void wkv7_plain(const WkvHeadArgs& a) {
  const std::size_t n = a.size;
  float *y = a.scratch, *kk = y + n, *k = kk + n;
  for (std::size_t t = 0; t < a.rows; ++t) {
    const float *r = a.r + t * a.r_stride, *w = a.w + t * a.w_stride, *v = a.v + t * a.v_stride;
    const float *k0 = a.k + t * a.k_stride, *rate = a.a + t * a.a_stride;
    float squares = 0, bonus = 0;
    for (std::size_t j = 0; j < n; ++j) {
      kk[j] = k0[j] * a.k_k[j];
      squares += kk[j] * kk[j];
      k[j] = k0[j] * (1.0f + (rate[j] - 1.0f) * a.k_a[j]);
      bonus += r[j] * k[j] * a.r_k[j];
    }
    const float length = std::sqrt(squares);
    for (std::size_t j = 0; j < n; ++j) kk[j] /= length > 1e-12f ? length : 1e-12f;
    for (std::size_t i = 0; i < n; ++i) {
      float sa = 0, sum = 0;
      for (std::size_t j = 0; j < n; ++j) sa -= a.state[j * n + i] * kk[j];
      for (std::size_t j = 0; j < n; ++j) {
        float& s = a.state[j * n + i];
        s = s * w[j] + sa * (kk[j] * rate[j]) + v[i] * k[j];
        sum += s * r[j];
      }
      y[i] = sum;
    }
    finish_head_plain(a, t, y, bonus);
  }
}

void wkv7(const WkvHeadArgs& a) {
  const std::size_t n = a.size;
  if (n % kWidth != 0) return wkv7_plain(a);
  Prepared7 p;
  p.minus_kk = a.scratch;
  p.kk_a = p.minus_kk + (kWkvTile + 1) * n;
  p.k = p.kk_a + kWkvTile * n;
  p.y = p.k + kWkvTile * n;
  for (std::size_t t0 = 0; t0 < a.rows; t0 += kWkvTile) {
    const std::size_t tokens = a.rows - t0 < kWkvTile ? a.rows - t0 : kWkvTile;
    for (std::size_t t = 0; t < tokens; ++t) prepare7(a, t0 + t, t, p);
    for (std::size_t c = 0; c < n; c += kWidth) store(p.minus_kk + tokens * n + c, zero());
    for_value_blocks(n, [&]<int NV>(std::size_t i) { block7<NV>(a, t0, tokens, i, p); });
    for (std::size_t t = 0; t < tokens; ++t) {
      const float* r = a.r + (t0 + t) * a.r_stride;
      V dot = zero();
      for (std::size_t c = 0; c < n; c += kWidth) {
        dot = fma(mul(load(r + c), load(p.k + t * n + c)), load(a.r_k + c), dot);
      }
      finish_head(a, t0 + t, p.y + t * n, sum(dot));
    }
  }
}

}  // namespace
}  // namespace deciban::cpu
