// Causal attention of one head of keys over a paged cache, page by page with a running maximum and sum, so
// that no more than one page of scores of a few rows is ever held.  Included by kernels.cc alone.
//
// A row's result is made by the same roundings whatever rows are computed beside it: pages pass in the order
// of their positions, what a row must not see has weight 0 exactly, and adding 0 changes nothing.
#pragma once

#include <cstring>

#include "engine/cpu/kernels.h"
#include "engine/cpu/rows-inl.h"
#include "engine/cpu/tiles-inl.h"

namespace deciban::cpu {
namespace {

using namespace simd;

inline std::uint16_t to_bf16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// One head: normed, turned, times `scale`, into `out`.
inline void prepare_head(const AttentionRowArgs& a, const float* x, const float* weight, float eps,
                         float scale, float* out) {
  std::memcpy(out, x, a.size * sizeof(float));
  if (weight != nullptr) {
    float squares = 0;
    for (std::size_t c = 0; c < a.size; ++c) squares += out[c] * out[c];
    const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(a.size) + eps);
    for (std::size_t c = 0; c < a.size; ++c) out[c] = out[c] * inverse * weight[c];
  }
  const std::size_t half = a.rotary / 2;
  const std::size_t step = a.interleaved ? 2 : 1, apart = a.interleaved ? 1 : half;
  for (std::size_t i = 0; i < half; ++i) {
    float *first = out + i * step, *second = first + apart;
    const float cosine = a.turns[2 * i], sine = a.turns[2 * i + 1], x0 = *first, x1 = *second;
    *first = x0 * cosine - x1 * sine;
    *second = x1 * cosine + x0 * sine;
  }
  if (scale != 1.0f) {
    for (std::size_t c = 0; c < a.size; ++c) out[c] *= scale;
  }
}

void attention_row(const AttentionRowArgs& a) {
  for (std::size_t h = 0; h < a.heads; ++h) {
    prepare_head(a, a.q + h * a.size, a.q_norm, a.q_eps, a.scale, a.scratch);
    if (a.bf16) {
      auto* out = static_cast<std::uint16_t*>(a.q_out) + h * a.size;
      for (std::size_t c = 0; c < a.size; ++c) out[c] = to_bf16(a.scratch[c]);
    } else {
      std::memcpy(static_cast<float*>(a.q_out) + h * a.size, a.scratch, a.size * sizeof(float));
    }
  }
  const std::size_t bytes = a.bf16 ? 2 : 4, n = a.in_page;
  for (std::size_t h = 0; h < a.kv_heads; ++h) {
    std::byte* keys = a.page + h * (a.size + a.padded) * kPage * bytes;
    std::byte* values = keys + a.size * kPage * bytes;
    const float* v = a.v + h * a.size;
    prepare_head(a, a.k + h * a.size, a.k_norm, a.k_eps, 1.0f, a.scratch);
    if (a.bf16) {
      auto* k16 = reinterpret_cast<std::uint16_t*>(keys);
      auto* v16 = reinterpret_cast<std::uint16_t*>(values) + n / 2 * a.padded * 2 + n % 2;
      for (std::size_t c = 0; c < a.size; ++c) k16[(c / 2 * kPage + n) * 2 + c % 2] = to_bf16(a.scratch[c]);
      for (std::size_t c = 0; c < a.size; ++c) v16[2 * c] = to_bf16(v[c]);
    } else {
      for (std::size_t c = 0; c < a.size; ++c) reinterpret_cast<float*>(keys)[c * kPage + n] = a.scratch[c];
      std::memcpy(reinterpret_cast<float*>(values) + n * a.padded, v, a.size * sizeof(float));
    }
  }
}

// acc[r] += sum over steps of x[r][step] * w[step]; a step is one f32, or a pair of bf16.
template <bool Bf16, int R, int NV>
inline __attribute__((always_inline)) void multiply(const std::byte* const (&x)[R], const std::byte* w,
                                                    std::size_t w_stride, std::size_t steps,
                                                    V (&acc)[R][NV]) {
  for (std::size_t i = 0; i < steps; ++i) {
    const std::byte* row = w + i * w_stride;
    if constexpr (!Bf16) {
      V b[NV];
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) b[v] = load(reinterpret_cast<const float*>(row) + v * kWidth);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const V a = set(reinterpret_cast<const float*>(x[r])[i]);
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) acc[r][v] = fma(a, b[v], acc[r][v]);
      }
    } else {
#if defined(DECIBAN_DOT_PAIRS)
      Pairs b[NV];
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) b[v] = load_pairs(row + v * kWidth * 4);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        std::int32_t pair;
        std::memcpy(&pair, x[r] + 4 * i, 4);
        const Pairs a = set_pairs(pair);
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) acc[r][v] = dot_pairs(acc[r][v], a, b[v]);
      }
#else
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) {
        const V first = first_of_pairs(row + v * kWidth * 4), second = second_of_pairs(row + v * kWidth * 4);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          std::uint32_t pair;
          std::memcpy(&pair, x[r] + 4 * i, 4);
          const std::uint32_t low = pair << 16, high = pair & 0xffff0000u;
          float a0, a1;
          std::memcpy(&a0, &low, 4);
          std::memcpy(&a1, &high, 4);
          acc[r][v] = fma(set(a1), second, fma(set(a0), first, acc[r][v]));
        }
      }
#endif
    }
  }
}

constexpr float kUnseen = -1e30f;  // below any score; finite, so that differences stay finite

// The running state of the rows of a block.
struct Running {
  float* sums;    // [rows][padded]: values so far, relative to `most`
  float* totals;  // [rows][16]: weights so far, by lane
  float* most;    // [rows]
};

// What one step over a page works with: rows [row, row + R) of the block, keys [0, keys) of the page that
// begins at position `begin`.
struct PageStep {
  std::size_t row, begin, keys;
  const std::byte* page;  // this head's keys; its values follow
  float* scores;          // [8][kPage]
  std::uint16_t* narrow;  // [8][kPage]
};

inline const std::byte* q_row(const AttentionArgs& a, std::size_t row) {
  return a.q + row / a.group * a.q_stride + row % a.group * a.size * (a.bf16 ? 2 : 4);
}

template <bool Bf16, int R>
inline void score_page(const AttentionArgs& a, const PageStep& s) {
  const std::byte* x[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) x[r] = q_row(a, s.row + static_cast<std::size_t>(r));
  for (std::size_t n = 0; n < s.keys; n += kPanel) {
    V acc[R][kVectors];
    load_tile<R>(nullptr, acc);
    multiply<Bf16, R, kVectors>(x, s.page + n * 4, kPage * 4, Bf16 ? a.size / 2 : a.size, acc);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) store(s.scores + r * kPage + n + v * kWidth, acc[r][v]);
    }
  }
}

// Scores become weights relative to each row's new maximum; `shrink[r]` is what its sums are multiplied by.
template <bool Bf16, int R>
inline void weigh_page(const AttentionArgs& a, const PageStep& s, const Running& running, float* shrink) {
  alignas(64) static constexpr float kLanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const std::size_t vectors = (s.keys + kWidth - 1) / kWidth;
  float least[R], top[R];  // of each row: the first position that it sees, its own position less `begin`
  bool masked[R];
  alignas(64) float change[16] = {};
  for (int r = 0; r < R; ++r) {
    const std::size_t row = s.row + static_cast<std::size_t>(r), at = a.first + row / a.group;
    // Relative to the page: small whole numbers, exact in f32 however long the sequence.
    top[r] = at >= s.begin ? static_cast<float>(at - s.begin < kPage ? at - s.begin : kPage) : -1.0f;
    const std::size_t from = a.window != 0 && at + 1 > a.window ? at + 1 - a.window : 0;
    least[r] = from > s.begin ? static_cast<float>(from - s.begin < kPage ? from - s.begin : kPage) : 0.0f;
    masked[r] = top[r] < static_cast<float>(vectors * kWidth - 1) || least[r] > 0.0f;
    float* scores = s.scores + r * kPage;
    V most = set(kUnseen);
    const float slope = a.slopes != nullptr ? a.slopes[row % a.group] : 0.0f;
    const float distance =
        static_cast<float>(static_cast<std::ptrdiff_t>(s.begin) - static_cast<std::ptrdiff_t>(at));
    for (std::size_t v = 0; v < vectors; ++v) {
      const V lane = add(load(kLanes), set(static_cast<float>(v * kWidth)));
      V score = load(scores + v * kWidth);
      if (a.slopes != nullptr) score = fma(set(slope), add(lane, set(distance)), score);
      if (masked[r]) {
        score = select(greater(lane, set(top[r])), set(kUnseen), score);
        score = select(greater(set(least[r]), lane), set(kUnseen), score);
      }
      if (masked[r] || a.slopes != nullptr) store(scores + v * kWidth, score);
      most = max(most, score);
    }
    const float here = largest(most), before = running.most[row];
    const float now = here > before ? here : before;
    running.most[row] = now;
    change[r] = before - now;
  }
  for (int r = 0; r < R; r += kWidth) store(change + r, exp_term(load(change + r)));
  for (int r = 0; r < R; ++r) {
    const std::size_t row = s.row + static_cast<std::size_t>(r);
    shrink[r] = change[r];
    float* scores = s.scores + r * kPage;
    const V most = set(running.most[row]);
    V total = mul(load(running.totals + row * 16), set(change[r]));
    for (std::size_t v = 0; v < vectors; ++v) {
      V weight = exp_term(sub(load(scores + v * kWidth), most));
      if (masked[r]) {
        const V lane = add(load(kLanes), set(static_cast<float>(v * kWidth)));
        weight = select(greater(lane, set(top[r])), zero(), weight);
        weight = select(greater(set(least[r]), lane), zero(), weight);
      }
      total = add(total, weight);
      if constexpr (Bf16) {
        store_bf16(s.narrow + r * kPage + v * kWidth, weight);
      } else {
        store(scores + v * kWidth, weight);
      }
    }
    store(running.totals + row * 16, total);
  }
}

template <bool Bf16, int R, int NV>
inline void add_channels(const AttentionArgs& a, const PageStep& s, const Running& running,
                         const float* shrink, std::size_t channel) {
  const std::byte* x[R];
  V acc[R][NV];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    x[r] = Bf16 ? reinterpret_cast<const std::byte*>(s.narrow + r * kPage)
                : reinterpret_cast<const std::byte*>(s.scores + r * kPage);
    const float* sums = running.sums + (s.row + static_cast<std::size_t>(r)) * a.padded + channel;
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[r][v] = mul(load(sums + v * kWidth), set(shrink[r]));
  }
  const std::byte* values = s.page + a.size * kPage * (Bf16 ? 2 : 4) + channel * 4;
  multiply<Bf16, R, NV>(x, values, a.padded * 4, Bf16 ? (s.keys + 1) / 2 : s.keys, acc);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    float* sums = running.sums + (s.row + static_cast<std::size_t>(r)) * a.padded + channel;
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) store(sums + v * kWidth, acc[r][v]);
  }
}

template <bool Bf16, int R>
inline void step_rows(const AttentionArgs& a, const PageStep& s, const Running& running) {
  float shrink[R];
  score_page<Bf16, R>(a, s);
  weigh_page<Bf16, R>(a, s, running, shrink);
  std::size_t channel = 0;
  for (; channel + kPanel <= a.padded; channel += kPanel) {
    add_channels<Bf16, R, kVectors>(a, s, running, shrink, channel);
  }
  for (; channel < a.padded; channel += kWidth) add_channels<Bf16, R, 1>(a, s, running, shrink, channel);
}

template <bool Bf16>
inline void step_any(std::size_t rows, const AttentionArgs& a, const PageStep& s, const Running& running) {
  switch (rows) {
    case 1:
      return step_rows<Bf16, 1>(a, s, running);
    case 2:
      return step_rows<Bf16, 2>(a, s, running);
    case 3:
      return step_rows<Bf16, 3>(a, s, running);
    case 4:
      return step_rows<Bf16, 4>(a, s, running);
    case 5:
      return step_rows<Bf16, (kRows >= 5 ? 5 : 1)>(a, s, running);
    default:
      return step_rows<Bf16, kRows>(a, s, running);
  }
}

void attention(const AttentionArgs& a) {
  const std::size_t rows = a.tokens * a.group;
  const Running running{a.scratch, a.scratch + rows * a.padded, a.scratch + rows * (a.padded + 16)};
  float* scores = a.scratch + (rows * (a.padded + 17) + 15) / 16 * 16;
  auto* narrow = reinterpret_cast<std::uint16_t*>(scores + 8 * kPage);
  float* result = scores + 8 * (kPage + kPage / 2);
  std::memset(running.sums, 0, rows * (a.padded + 16) * sizeof(float));
  for (std::size_t row = 0; row < rows; ++row) running.most[row] = kUnseen;

  const std::size_t last = a.first + a.tokens - 1;
  const std::size_t from = a.window != 0 && a.first + 1 > a.window ? a.first + 1 - a.window : 0;
  for (std::size_t p = from / kPage; p <= last / kPage; ++p) {
    const std::size_t begin = p * kPage;
    for (std::size_t row = 0; row < rows; row += kRows) {
      const std::size_t count = rows - row < kRows ? rows - row : kRows;
      const std::size_t highest = a.first + (row + count - 1) / a.group;
      if (highest < begin) continue;
      const std::size_t keys = highest - begin < kPage ? highest - begin + 1 : kPage;
      if (a.window != 0 && begin + kPage + a.window <= a.first + row / a.group + 1) continue;
      const PageStep step{row, begin, keys, a.pages[p] + a.offset, scores, narrow};
      if (a.bf16) {
        step_any<true>(count, a, step, running);
      } else {
        step_any<false>(count, a, step, running);
      }
    }
  }
  for (std::size_t row = 0; row < rows; ++row) {
    const V inverse = set(1.0f / sum(load(running.totals + row * 16)));
    for (std::size_t c = 0; c < a.padded; c += kWidth) {
      put(result, a.out_bf16, c, mul(load(running.sums + row * a.padded + c), inverse));
    }
    const std::size_t bytes = a.out_bf16 ? 2 : 4;
    std::memcpy(a.out + row / a.group * a.out_stride + row % a.group * a.size * bytes, result,
                a.size * bytes);
  }
}

}  // namespace
}  // namespace deciban::cpu
