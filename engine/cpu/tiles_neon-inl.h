// The matrix-product micro-kernels of 64-bit ARM.  Included by kernels.cc alone.
//
// Inputs are loaded four (f32), eight (bf16) or sixteen (i8) at a time: ARM multiplies by a lane of a
// register, so that nothing is broadcast in the loops and six rows by four vectors of sums take 24 + 6 of 32
// registers.
#pragma once

#if defined(__aarch64__)

#include <bit>
#include <cstring>

#include "engine/cpu/kernels.h"
#include "engine/cpu/simd.h"
#include "engine/cpu/tiles-inl.h"

namespace deciban::cpu {
namespace {

using namespace simd;

// Inputs of one step of the loops below: by f32 ones, by widened pairs of bf16, by bf16 and by i8.
inline constexpr std::size_t kStepF32 = 4, kStepWidening = 4;
#if defined(DECIBAN_DOT_PAIRS)
inline constexpr std::size_t kStepBf16 = 8;
#else
inline constexpr std::size_t kStepBf16 = kStepWidening;
#endif
#if defined(__ARM_FEATURE_DOTPROD)
inline constexpr std::size_t kStepI8 = 16;
#else
inline constexpr std::size_t kStepI8 = 8;
#endif

inline V four_inputs(const float* x) { return load(x); }
inline V four_inputs(const std::uint16_t* x) { return load_bf16(x); }
inline float one_input(const float* x) { return *x; }
inline float one_input(const std::uint16_t* x) { return std::bit_cast<float>(std::uint32_t{*x} << 16); }

// acc[r][v] += lane `Lane` of x[r] times b.
template <int Lane, int R>
inline __attribute__((always_inline)) void add_lane(const V (&x)[R], V b, int v, V (&acc)[R][kVectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) acc[r][v] = vfmaq_laneq_f32(acc[r][v], b, x[r], Lane);
}
template <int R>
inline __attribute__((always_inline)) void add_one(const float (&x)[R], V b, int v, V (&acc)[R][kVectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) acc[r][v] = fma(set(x[r]), b, acc[r][v]);
}

// One row of weights an input: weights(k, v) is vector v of input k's.
template <int R, typename Weights>
inline __attribute__((always_inline)) void tile_single(const float* x, std::size_t xs, std::size_t count,
                                                       Ahead ahead, const float* start, float* tile,
                                                       const Weights& weights) {
  V acc[R][kVectors];
  load_tile<R>(start, acc);
  for_steps<stride_of(R, false)>(
      count / 4, ahead, [&](std::size_t i) __attribute__((always_inline)) {
        V four[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) four[r] = load(x + r * xs + 4 * i);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) add_lane<0>(four, weights(4 * i, v), v, acc);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) add_lane<1>(four, weights(4 * i + 1, v), v, acc);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) add_lane<2>(four, weights(4 * i + 2, v), v, acc);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) add_lane<3>(four, weights(4 * i + 3, v), v, acc);
      });
  for (std::size_t k = count / 4 * 4; k < count; ++k) {
    float one[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) one[r] = x[r * xs + k];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) add_one(one, weights(k, v), v, acc);
  }
  store_tile<R>(tile, acc);
}

template <int R>
inline void tile_f32(const float* x, std::size_t xs, const float* w, std::size_t count, Ahead ahead,
                     const float* start, float* tile) {
  tile_single<R>(
      x, xs, count, ahead, start, tile, [w](std::size_t k, int v) __attribute__((always_inline)) {
        return load(w + k * kPanel + v * kWidth);
      });
}

// Pairs of bf16 weights, widened; inputs are f32 or bf16, whose products with them are exact in f32 and
// summed one after the other.
template <int R, typename X>
inline void tile_pairs(const X* x, std::size_t xs, const std::byte* w, std::size_t count, Ahead ahead,
                       const float* start, float* tile) {
  V acc[R][kVectors];
  load_tile<R>(start, acc);
  for_steps<stride_of(R, false)>(
      count / 4, ahead, [&](std::size_t i) __attribute__((always_inline)) {
        const std::byte* row = w + 2 * i * kPanel * 4;
        V four[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) four[r] = four_inputs(x + r * xs + 4 * i);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          const I pairs = load_int(row + v * kWidth * 4);
          add_lane<0>(four, first_of_pairs(pairs), v, acc);
          add_lane<1>(four, second_of_pairs(pairs), v, acc);
        }
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          const I pairs = load_int(row + (kPanel + v * kWidth) * 4);
          add_lane<2>(four, first_of_pairs(pairs), v, acc);
          add_lane<3>(four, second_of_pairs(pairs), v, acc);
        }
      });
  for (std::size_t k = count / 4 * 4; k < count; ++k) {
    const std::byte* row = w + k / 2 * kPanel * 4;
    float one[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) one[r] = one_input(x + r * xs + k);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const I pairs = load_int(row + v * kWidth * 4);
      add_one(one, k % 2 == 0 ? first_of_pairs(pairs) : second_of_pairs(pairs), v, acc);
    }
  }
  store_tile<R>(tile, acc);
}

// The same sums as tile_f32 from weights that are widened on the way: for few rows, where widening a block
// first does not pay.
template <int R, WeightFormat F>
inline void tile_widening(const float* x, std::size_t xs, const std::byte* w, std::size_t count, Ahead ahead,
                          const float* start, float* tile) {
  if constexpr (F == WeightFormat::f16) {
    const auto* half = reinterpret_cast<const std::uint16_t*>(w);
    tile_single<R>(
        x, xs, count, ahead, start, tile, [half](std::size_t k, int v) __attribute__((always_inline)) {
          return load_f16(half + k * kPanel + v * kWidth);
        });
  } else {
    tile_pairs<R>(x, xs, w, count, ahead, start, tile);
  }
}

// bf16 weights and activations.
template <int R>
inline void tile_bf16(const std::uint16_t* x, std::size_t xs, const std::byte* w, std::size_t count,
                      Ahead ahead, const float* start, float* tile) {
#if defined(DECIBAN_DOT_PAIRS)
  const std::size_t pairs = (count + 1) / 2;
  V acc[R][kVectors];
  load_tile<R>(start, acc);
  for_steps<stride_of(R, false)>(
      pairs / 4, ahead, [&](std::size_t i) __attribute__((always_inline)) {
        const std::byte* row = w + 4 * i * kPanel * 4;
        Pairs four[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) four[r] = load_pairs(x + r * xs + 8 * i);
        const auto add = [&]<int Lane>() __attribute__((always_inline)) {
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; ++v) {
            const Pairs b = load_pairs(row + (Lane * kPanel + v * kWidth) * 4);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) acc[r][v] = vbfdotq_laneq_f32(acc[r][v], b, four[r], Lane);
          }
        };
        add.template operator()<0>();
        add.template operator()<1>();
        add.template operator()<2>();
        add.template operator()<3>();
      });
  for (std::size_t i = pairs / 4 * 4; i < pairs; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const Pairs b = load_pairs(w + (i * kPanel + v * kWidth) * 4);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        std::int32_t pair;
        std::memcpy(&pair, x + r * xs + 2 * i, 4);
        acc[r][v] = dot_pairs(acc[r][v], set_pairs(pair), b);
      }
    }
  }
  store_tile<R>(tile, acc);
#else
  tile_pairs<R>(x, xs, w, count, ahead, start, tile);
#endif
}

// Four bytes of i8 activations everywhere: they are kept as u8, 128 added, which is taken off here.
inline int8x16_t set_quad(const std::uint8_t* x) {
  std::int32_t quad;
  std::memcpy(&quad, x, 4);
  return veorq_s8(vreinterpretq_s8_s32(vdupq_n_s32(quad)), vdupq_n_s8(-128));
}

// Writes vector v of all rows of a tile of i8, whose sums are exact.
template <int R>
inline void put_i8(const I (&sums)[R], int v, const std::byte* scales, const float* x_scales, float* tile) {
  const V scale = load(reinterpret_cast<const float*>(scales) + v * kWidth);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    store(tile + r * kPanel + v * kWidth, mul(mul(to_float(sums[r]), scale), set(x_scales[r])));
  }
}

#if defined(__ARM_FEATURE_DOTPROD)

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
  const auto weights = [&](std::size_t k, int v) __attribute__((always_inline)) {
    return vreinterpretq_s8_s32(load_int(panel + (k * kPanel + v * kWidth) * 4));
  };
  for_steps<stride_of(R, true)>(
      quads / 4, ahead, [&](std::size_t i) __attribute__((always_inline)) {
        int8x16_t four[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          four[r] = veorq_s8(vreinterpretq_s8_u8(vld1q_u8(x + r * xs + 16 * i)), vdupq_n_s8(-128));
        }
        const auto add = [&]<int Lane>() __attribute__((always_inline)) {
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; ++v) {
            const int8x16_t b = weights(4 * i + Lane, v);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) acc[r][v] = vdotq_laneq_s32(acc[r][v], b, four[r], Lane);
          }
        };
        add.template operator()<0>();
        add.template operator()<1>();
        add.template operator()<2>();
        add.template operator()<3>();
      });
  for (std::size_t i = quads / 4 * 4; i < quads; ++i) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const int8x16_t quad = set_quad(x + r * xs + 4 * i);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) acc[r][v] = vdotq_s32(acc[r][v], weights(i, v), quad);
    }
  }
  const std::byte* scales = panel + quads * kPanel * 4;
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    I sums[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sums[r] = acc[r][v];
    put_i8(sums, v, scales, x_scales, tile);
  }
}

#else

// Two products of i8 fit into i16 (no operand is below -127): those of two quads of inputs are added there,
// then neighbours to i32, so that an output's sum is in two lanes until the end.  Vectors [first, first +
// NV).
template <int R, int NV>
inline void tile_i8_vectors(int first, const std::uint8_t* x, std::size_t xs, const float* x_scales,
                            const std::byte* panel, std::size_t inputs, Ahead ahead, float* tile) {
  const std::size_t quads = (inputs + 3) / 4;
  I low[R][NV], high[R][NV];  // outputs 0 and 1, 2 and 3 of a vector
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) low[r][v] = high[r][v] = set_int(0);
  }
  const auto weights = [&](std::size_t k, int v) __attribute__((always_inline)) {
    return vreinterpretq_s8_s32(load_int(panel + (k * kPanel + (first + v) * kWidth) * 4));
  };
  for_steps<stride_of(R, true)>(
      quads / 2, ahead, [&](std::size_t i) __attribute__((always_inline)) {
        int8x16_t b[2][NV];
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) {
          b[0][v] = weights(2 * i, v);
          b[1][v] = weights(2 * i + 1, v);
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const int8x16_t x0 = set_quad(x + r * xs + 8 * i), x1 = set_quad(x + r * xs + 8 * i + 4);
#pragma GCC unroll 8
          for (int v = 0; v < NV; ++v) {
            const int16x8_t l = vmlal_s8(vmull_s8(vget_low_s8(b[0][v]), vget_low_s8(x0)),
                                         vget_low_s8(b[1][v]), vget_low_s8(x1));
            const int16x8_t h = vmlal_high_s8(vmull_high_s8(b[0][v], x0), b[1][v], x1);
            low[r][v] = vpadalq_s16(low[r][v], l);
            high[r][v] = vpadalq_s16(high[r][v], h);
          }
        }
      });
  if (quads % 2 != 0) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const int8x16_t quad = set_quad(x + r * xs + 4 * (quads - 1));
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) {
        const int8x16_t b = weights(quads - 1, v);
        low[r][v] = vpadalq_s16(low[r][v], vmull_s8(vget_low_s8(b), vget_low_s8(quad)));
        high[r][v] = vpadalq_s16(high[r][v], vmull_high_s8(b, quad));
      }
    }
  }
  const std::byte* scales = panel + quads * kPanel * 4;
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) {
    I sums[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sums[r] = vpaddq_s32(low[r][v], high[r][v]);
    put_i8(sums, first + v, scales, x_scales, tile);
  }
}

// i8 weights and activations: exact sums of all inputs (i32 holds K up to 66,000), then the scales.  With
// many rows the panel is read twice, half of its outputs each time.
template <int R>
inline void tile_i8(const std::uint8_t* x, std::size_t xs, const float* x_scales, const std::byte* panel,
                    std::size_t inputs, Ahead ahead, float* tile) {
  if constexpr (R <= 2) {
    tile_i8_vectors<R, kVectors>(0, x, xs, x_scales, panel, inputs, ahead, tile);
  } else {
    tile_i8_vectors<R, kVectors / 2>(0, x, xs, x_scales, panel, inputs, ahead, tile);
    tile_i8_vectors<R, kVectors / 2>(kVectors / 2, x, xs, x_scales, panel, inputs, {}, tile);
  }
}

#endif

}  // namespace
}  // namespace deciban::cpu

#endif
