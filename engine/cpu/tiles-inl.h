// What the matrix-product micro-kernels share (a few rows times one panel, sums in registers), and those for
// weights in groups, which are alike on every architecture; the others are in tiles_x86-inl.h and
// tiles_neon-inl.h.  Included by kernels.cc alone.
#pragma once

#include <cstring>

#include "engine/cpu/kernels.h"
#include "engine/cpu/simd.h"

namespace deciban::cpu {
namespace {

using namespace simd;

#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int kRows = 6, kVectors = 4;  // 24 accumulators of 32 registers
#elif defined(__AVX2__)
inline constexpr int kRows = 6, kVectors = 2;  // 12 of 16
#else
inline constexpr int kRows = 4, kVectors = 2;  // 8 of 16
#endif
inline constexpr std::size_t kPanel = kVectors * kWidth;
inline constexpr std::size_t kBlock = 1024;  // inputs; a block of a panel stays in the L2 cache

// Cache lines that a tile brings closer while it computes: `lines` from `at` on at every stride-th step, the
// next ones each time.  The hardware follows the weights by itself but not far enough to keep memory busy.
// One row waits for little but memory, which likes small portions best; i8 has more to compute.
constexpr std::size_t stride_of(std::size_t rows, bool i8) { return rows == 1 && !i8 ? 1 : 4; }
struct Ahead {
  const std::byte* at = nullptr;
  std::size_t lines = 0;
};
inline void bring(Ahead& ahead) {
  for (std::size_t i = 0; i < ahead.lines; ++i) prefetch(ahead.at + i * 64);
  ahead.at += ahead.lines * 64;
}

// Calls step(i) for i = 0 … steps - 1, bringing lines in between.
template <std::size_t Stride, typename Step>
inline __attribute__((always_inline)) void for_steps(std::size_t steps, Ahead ahead, const Step& step) {
  for (std::size_t i = 0; i < steps;) {
    bring(ahead);
    const std::size_t end = steps - i < Stride ? steps : i + Stride;
    for (; i < end; ++i) step(i);
  }
}

// The tile's sums in registers: from `start`, or zero where it is null.
template <int R>
inline __attribute__((always_inline)) void load_tile(const float* start, V (&acc)[R][kVectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      acc[r][v] = start != nullptr ? load(start + r * kPanel + v * kWidth) : zero();
    }
  }
}
template <int R>
inline __attribute__((always_inline)) void store_tile(float* tile, const V (&acc)[R][kVectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) store(tile + r * kPanel + v * kWidth, acc[r][v]);
  }
}

// Tiles are [rows][kPanel] f32.  Each tile_* function adds inputs [0, count) of its operands to the sums
// `start` (or to zero) and writes `tile`.

// Weights in groups: what a packed panel holds of them, and their values.
template <WeightFormat F>
struct Groups {
  static constexpr bool kPairs = F == WeightFormat::i8g32;  // two groups' scales in one word, no minima
  static constexpr int kBits = kPairs ? 8 : 4;
  static constexpr std::size_t kPerWord = 32 / kBits;
  static constexpr std::size_t kGroup = group_of(F), kRun = kPairs ? 2 * kGroup : kGroup;

  I head[kVectors];
  V scale[kVectors], least[kVectors];

  // Scales for the word-th words of a panel, which are read on the way there; returns where the words are.
  inline __attribute__((always_inline)) const std::byte* at(std::size_t word, const std::byte* w) {
    const std::size_t in_run = word % (kRun / kPerWord);
    if (in_run == 0) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) head[v] = load_int(w + v * kWidth * 4);
      w += kPanel * 4;
    }
    constexpr float kSteps = 1 << kBits;
    if (in_run % (kGroup / kPerWord) == 0) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        if constexpr (kPairs) {
          const V s = in_run == 0 ? first_of_pairs(head[v]) : second_of_pairs(head[v]);
          scale[v] = mul(s, set(kSteps));
          least[v] = mul(s, set(-1.5f * kSteps));  // 128 was added
        } else {
          scale[v] = mul(first_of_pairs(head[v]), set(kSteps));
          least[v] = sub(second_of_pairs(head[v]), scale[v]);
        }
      }
    }
    return w;
  }
  // The J-th weights of vector v's words.
  template <int J>
  inline __attribute__((always_inline)) V value(I words, int v) const {
    return fma(one_and_fraction<kBits, J>(words), scale[v], least[v]);
  }
};

// Adds inputs J and on of each word of weights.
template <int R, WeightFormat F, int J>
inline __attribute__((always_inline)) void add_word(const float* x, std::size_t xs, const Groups<F>& group,
                                                    const I (&words)[kVectors], V (&acc)[R][kVectors]) {
  V b[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) b[v] = group.template value<J>(words[v], v);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const V a = set(x[r * xs + J]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(a, b[v], acc[r][v]);
  }
  if constexpr (J + 1 < static_cast<int>(Groups<F>::kPerWord))
    add_word<R, F, J + 1>(x, xs, group, words, acc);
}

// The same sums from weights in groups; w is where a run of them begins.
template <int R, WeightFormat F>
inline void tile_groups(const float* x, std::size_t xs, const std::byte* w, std::size_t count, Ahead ahead,
                        const float* start, float* tile) {
  constexpr std::size_t kPerWord = Groups<F>::kPerWord;
  V acc[R][kVectors];
  load_tile<R>(start, acc);
  Groups<F> group;
  for_steps<stride_of(R, false)>(
      count / kPerWord, ahead, [&](std::size_t i) __attribute__((always_inline)) {
        w = group.at(i, w);
        I words[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) words[v] = load_int(w + v * kWidth * 4);
        w += kPanel * 4;
        add_word<R, F, 0>(x + kPerWord * i, xs, group, words, acc);
      });
  if (const std::size_t rest = count % kPerWord; rest != 0) {
    w = group.at(count / kPerWord, w);
    for (std::size_t k = 0; k < rest; ++k) {
      for (int v = 0; v < kVectors; ++v) {
        I word = load_int(w + v * kWidth * 4);
        for (std::size_t i = 0; i < k; ++i) word = right<Groups<F>::kBits>(word);
        const V b = group.template value<0>(word, v);
        for (int r = 0; r < R; ++r) acc[r][v] = fma(set(x[r * xs + count - rest + k]), b, acc[r][v]);
      }
    }
  }
  store_tile<R>(tile, acc);
}

}  // namespace
}  // namespace deciban::cpu
