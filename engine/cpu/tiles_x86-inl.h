// The matrix-product micro-kernels of AVX-512, AVX2 and SSE2.  Included by kernels.cc alone.
#pragma once

#if defined(__x86_64__)

#include <cstring>

#include "engine/cpu/kernels.h"
#include "engine/cpu/simd.h"
#include "engine/cpu/tiles-inl.h"

namespace deciban::cpu {
namespace {

using namespace simd;

// Inputs of one step of the loops below: by f32 ones, by widened pairs of bf16, by bf16 and by i8.
inline constexpr std::size_t kStepF32 = 1, kStepWidening = 2, kStepBf16 = 2, kStepI8 = 4;

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

// bf16 weights and activations.  x rows are read as 32-bit pairs.
template <int R>
inline void tile_bf16(const std::uint16_t* x, std::size_t xs, const std::byte* w, std::size_t count,
                      Ahead ahead, const float* start, float* tile) {
  V acc[R][kVectors];  // GCC 12 keeps __m512 accumulators in registers where it spills __m512i ones
  load_tile<R>(start, acc);
  for_steps<stride_of(R, false)>((count + 1) / 2, ahead, [&](std::size_t k) __attribute__((always_inline)) {
    const std::byte* row = w + k * kPanel * 4;
#if defined(DECIBAN_DOT_PAIRS)
    Pairs b[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) b[v] = load_pairs(row + v * kWidth * 4);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      std::int32_t pair;
      std::memcpy(&pair, x + r * xs + 2 * k, 4);
      const Pairs a = set_pairs(pair);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) acc[r][v] = dot_pairs(acc[r][v], a, b[v]);
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

#endif
