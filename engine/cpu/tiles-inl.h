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

// Tiles are [rows][kPanel] f32, the sums so far; each function adds inputs [0, count) of its operands.
template <int R>
inline void tile_f32(const float* x, std::size_t xs, const float* w, std::size_t count, float* tile) {
  V acc[R][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) acc[r][v] = load(tile + r * kPanel + v * kWidth);
  }
  for (std::size_t k = 0; k < count; ++k) {
    V b[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) b[v] = load(w + k * kPanel + v * kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const V a = set(x[r * xs + k]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(a, b[v], acc[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) store(tile + r * kPanel + v * kWidth, acc[r][v]);
  }
}

// The same sums from weights that are widened on the way: for few rows, where widening a block first does not
// pay.
template <int R, WeightFormat F>
inline void tile_widening(const float* x, std::size_t xs, const std::byte* w, std::size_t count,
                          float* tile) {
  V acc[R][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) acc[r][v] = load(tile + r * kPanel + v * kWidth);
  }
  if constexpr (F == WeightFormat::i8) {
    for (std::size_t k = 0; k < count; k += 4) {
      const std::size_t left = count - k;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const I quads = load_int(w + (k / 4 * kPanel + v * kWidth) * 4);
        const V b[4] = {byte_of<0>(quads), byte_of<1>(quads), byte_of<2>(quads), byte_of<3>(quads)};
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const float* a = x + r * xs + k;
          acc[r][v] = fma(set(a[0]), b[0], acc[r][v]);
          if (left > 1) acc[r][v] = fma(set(a[1]), b[1], acc[r][v]);
          if (left > 2) acc[r][v] = fma(set(a[2]), b[2], acc[r][v]);
          if (left > 3) acc[r][v] = fma(set(a[3]), b[3], acc[r][v]);
        }
      }
    }
  } else if constexpr (F == WeightFormat::f16) {
    const auto* half = reinterpret_cast<const std::uint16_t*>(w);
    for (std::size_t k = 0; k < count; ++k) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const V b = load_f16(half + k * kPanel + v * kWidth);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) acc[r][v] = fma(set(x[r * xs + k]), b, acc[r][v]);
      }
    }
  } else {
    for (std::size_t k = 0; k + 1 < count; k += 2) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const std::byte* pairs = w + (k / 2 * kPanel + v * kWidth) * 4;
        const V even = first_of_pairs(pairs), odd = second_of_pairs(pairs);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          acc[r][v] = fma(set(x[r * xs + k]), even, acc[r][v]);
          acc[r][v] = fma(set(x[r * xs + k + 1]), odd, acc[r][v]);
        }
      }
    }
    if (count % 2) {
      const std::size_t k = count - 1;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const V even = first_of_pairs(w + (k / 2 * kPanel + v * kWidth) * 4);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) acc[r][v] = fma(set(x[r * xs + k]), even, acc[r][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) store(tile + r * kPanel + v * kWidth, acc[r][v]);
  }
}

// bf16 weights and activations.  x rows are read as 32-bit pairs.
template <int R>
inline void tile_bf16(const std::uint16_t* x, std::size_t xs, const std::byte* w, std::size_t count,
                      float* tile) {
  const std::size_t pairs = (count + 1) / 2;
  V acc[R][kVectors];  // GCC 12 keeps __m512 accumulators in registers where it spills __m512i ones
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) acc[r][v] = load(tile + r * kPanel + v * kWidth);
  }
  for (std::size_t k = 0; k < pairs; ++k) {
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
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) store(tile + r * kPanel + v * kWidth, acc[r][v]);
  }
}

// i8 weights and activations: exact sums of all inputs (i32 holds K up to 66,000), then the scales.
template <int R>
inline void tile_i8(const std::uint8_t* x, std::size_t xs, const float* x_scales, const std::byte* panel,
                    std::size_t inputs, float* tile) {
  const std::size_t quads = (inputs + 3) / 4;
  I acc[R][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) acc[r][v] = set_int(0);
  }
  for (std::size_t k = 0; k < quads; ++k) {
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
  }
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
