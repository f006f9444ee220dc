// The matrix-product micro-kernels: a few rows times one panel, sums in registers.  Included by kernels.cc
// alone.
#pragma once

#include <cstring>

#include "engine/cpu/kernels.h"
#include "engine/cpu/simd.h"

namespace deciban::cpu {
namespace {

using namespace simd;

#if defined(__AVX512F__)
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
  for (std::size_t i = 0; i < ahead.lines; ++i) {
    _mm_prefetch(reinterpret_cast<const char*>(ahead.at) + i * 64, _MM_HINT_T0);
  }
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

// Tiles are [rows][kPanel] f32.  Each function adds inputs [0, count) of its operands to the sums `start` (or
// to zero) and writes `tile`.
template <int R>
inline void tile_f32(const float* x, std::size_t xs, const float* w, std::size_t count, Ahead ahead,
                     const float* start, float* tile) {
  V acc[R][kVectors];
  load_tile<R>(start, acc);
  for_steps<stride_of(R, false)>(
      count, ahead, [&](std::size_t k) __attribute__((always_inline)) {
        V b[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) b[v] = load(w + k * kPanel + v * kWidth);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const V a = set(x[r * xs + k]);
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(a, b[v], acc[r][v]);
        }
      });
  store_tile<R>(tile, acc);
}

// The same sums from weights that are widened on the way: for few rows, where widening a block first does not
// pay.
template <int R, WeightFormat F>
inline void tile_widening(const float* x, std::size_t xs, const std::byte* w, std::size_t count, Ahead ahead,
                          const float* start, float* tile) {
  V acc[R][kVectors];
  load_tile<R>(start, acc);
  if constexpr (F == WeightFormat::f16) {
    const auto* half = reinterpret_cast<const std::uint16_t*>(w);
    for_steps<stride_of(R, false)>(
        count, ahead, [&](std::size_t k) __attribute__((always_inline)) {
          V b[kVectors];
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; ++v) b[v] = load_f16(half + k * kPanel + v * kWidth);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) {
            const V a = set(x[r * xs + k]);
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(a, b[v], acc[r][v]);
          }
        });
  } else {
    const auto add_even = [&](std::size_t i) __attribute__((always_inline)) {
      V b[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) b[v] = first_of_pairs(w + (i * kPanel + v * kWidth) * 4);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const V a = set(x[r * xs + 2 * i]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(a, b[v], acc[r][v]);
      }
    };
    // Few rows leave registers for the pairs, so that each is loaded once: loads under way are what keeps
    // memory busy.
    for_steps<stride_of(R, false)>(
        count / 2, ahead, [&](std::size_t i) __attribute__((always_inline)) {
          V odd[kVectors];
          if constexpr (R <= 2) {
            I pairs[kVectors];
            V even[kVectors];
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) {
              pairs[v] = load_int(w + (i * kPanel + v * kWidth) * 4);
              asm("" : "+v"(pairs[v]));  // GCC 12 would load it twice
            }
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) {
              even[v] = first_of_pairs(pairs[v]);
              odd[v] = second_of_pairs(pairs[v]);
            }
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
              const V a = set(x[r * xs + 2 * i]);
#pragma GCC unroll 8
              for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(a, even[v], acc[r][v]);
            }
          } else {
            add_even(i);
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) odd[v] = second_of_pairs(w + (i * kPanel + v * kWidth) * 4);
          }
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) {
            const V a = set(x[r * xs + 2 * i + 1]);
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(a, odd[v], acc[r][v]);
          }
        });
    if (count % 2 != 0) add_even(count / 2);
  }
  store_tile<R>(tile, acc);
}

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

// bf16 weights and activations.  x rows are read as 32-bit pairs.
template <int R>
inline void tile_bf16(const std::uint16_t* x, std::size_t xs, const std::byte* w, std::size_t count,
                      Ahead ahead, const float* start, float* tile) {
  V acc[R][kVectors];  // GCC 12 keeps __m512 accumulators in registers where it spills __m512i ones
  load_tile<R>(start, acc);
  for_steps<stride_of(R, false)>((count + 1) / 2, ahead, [&](std::size_t k) __attribute__((always_inline)) {
    const std::byte* row = w + k * kPanel * 4;
#if defined(__AVX512BF16__)
    __m512bh b[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) b[v] = (__m512bh)_mm512_loadu_si512(row + v * kWidth * 4);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      std::int32_t pair;
      std::memcpy(&pair, x + r * xs + 2 * k, 4);
      const __m512bh a = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) acc[r][v] = _mm512_dpbf16_ps(acc[r][v], a, b[v]);
    }
#else
                                               // No dot product of pairs in this ISA: the products are exact in f32, summed one after the other.
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const V even = first_of_pairs(row + v * kWidth * 4), odd = second_of_pairs(row + v * kWidth * 4);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        std::uint32_t pair;
        std::memcpy(&pair, x + r * xs + 2 * k, 4);
        const std::uint32_t low = pair << 16, high = pair & 0xffff0000u;
        float a0, a1;
        std::memcpy(&a0, &low, 4);
        std::memcpy(&a1, &high, 4);
        acc[r][v] = fma(set(a1), odd, fma(set(a0), even, acc[r][v]));
      }
    }
#endif
  });
  store_tile<R>(tile, acc);
}

// i8 weights and activations: exact sums of all inputs (i32 holds K up to 66,000), then the scales.
template <int R>
inline void tile_i8(const std::uint8_t* x, std::size_t xs, const float* x_scales, const std::byte* panel,
                    std::size_t inputs, Ahead ahead, float* tile) {
  const std::size_t quads = (inputs + 3) / 4;
  I acc[R][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) acc[r][v] = set_int(0);
  }
  for_steps<stride_of(R, true)>(
      quads, ahead, [&](std::size_t k) __attribute__((always_inline)) {
        I b[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) b[v] = load_int(panel + (k * kPanel + v * kWidth) * 4);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          std::int32_t quad;
          std::memcpy(&quad, x + r * xs + 4 * k, 4);
          const I a = set_int(quad);
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; ++v) acc[r][v] = dot4(acc[r][v], a, b[v]);
        }
      });
  const std::byte* scales = panel + quads * kPanel * 4;
  const std::byte* shift = scales + kPanel * 4;
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const V scale = load(reinterpret_cast<const float*>(scales) + v * kWidth);
    const I sums = load_int(shift + v * kWidth * 4);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      store(tile + r * kPanel + v * kWidth,
            mul(mul(to_float(sub_int(acc[r][v], sums)), scale), set(x_scales[r])));
    }
  }
}

}  // namespace
}  // namespace deciban::cpu
