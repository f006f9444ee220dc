// What kernels of attention share on the device: which keys a row sees, the running softmax of a thread's two
// rows of a tile of scores, and writing results.
#pragma once

#include <cuda_runtime.h>

#include "engine/cuda/attention.h"
#include "engine/cuda/values.cuh"

namespace deciban::cuda {

constexpr float kLog2e = 1.4426950408889634f;

__device__ inline float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Two values as one register of 16-bit elements, the first one low.
template <typename T>
__device__ inline unsigned packed(float low, float high) {
  unsigned raw;
  if constexpr (std::is_same_v<T, bf16>) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    memcpy(&raw, &pair, 4);
  } else {
    const __half2 pair = __floats2half2_rn(low, high);
    memcpy(&raw, &pair, 4);
  }
  return raw;
}

// The first tile of `keys` keys that any row from `position` on sees.
__device__ inline int first_tile(int position, int window, int keys) {
  return window != 0 && position + 1 > window ? (position + 1 - window) / keys : 0;
}

// A thread's two rows, as matrix instructions hand them out: of a tile of scores it has columns 8 j + 2 quad
// and the next one, in s[4 j], s[4 j + 1] of the first row and s[4 j + 2], s[4 j + 3] of the second, which
// lies 8 below.  Four lanes share a row.
struct RunningRows {
  float most[2] = {-INFINITY, -INFINITY};
  float total[2] = {0, 0};  // of this lane's columns
};

// Masks the tile that begins at key `begin` (whole: every row sees all of it), adds ALiBi's slopes, turns
// scores into weights relative to the rows' new maxima, and says by what their sums shrink.
template <int kKeys, bool kSlopes>
__device__ __forceinline__ void weigh(float (&s)[kKeys / 2], RunningRows& running, float (&shrink)[2],
                                      int begin, int position, int second_position, int window, bool whole,
                                      float slope, float second_slope) {
  const int column = begin + 2 * (threadIdx.x % 4);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int at = r == 0 ? position : second_position;
    if constexpr (kSlopes) {
      const float m = r == 0 ? slope : second_slope;
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& score = s[4 * j + 2 * r + e];
          score = fmaf(m, static_cast<float>(column + 8 * j + e - at), score);
        }
      }
    }
    if (!whole) {
      const int least = window != 0 ? at - window : -1;  // the last key before the window
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int key = column + 8 * j + e;
          if (key > at || key <= least) s[4 * j + 2 * r + e] = -INFINITY;
        }
      }
    }
    float top = running.most[r];
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j) top = fmaxf(top, fmaxf(s[4 * j + 2 * r], s[4 * j + 2 * r + 1]));
    top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
    top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
    // A row that has seen nothing yet keeps sums of zero; where nothing larger comes, sums shrink by
    // exactly 1.
    const float base = top == -INFINITY ? 0.0f : top, centre = base * kLog2e;
    shrink[r] = exp2_fast((running.most[r] - base) * kLog2e);
    running.most[r] = top;
    float total = running.total[r] * shrink[r];
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& score = s[4 * j + 2 * r + e];
        score = exp2_fast(fmaf(score, kLog2e, -centre));
        total += score;
      }
    }
    running.total[r] = total;
  }
}

// What a row's sums are multiplied by in the end.
__device__ inline float inverse_total(float total) {
  total += __shfl_xor_sync(0xffffffffu, total, 1);
  total += __shfl_xor_sync(0xffffffffu, total, 2);
  return 1.0f / total;
}

// Two neighbouring channels of a result.
__device__ inline void write_pair(void* out, Tensor::Type type, std::size_t at, float a, float b) {
  if (type == Tensor::Type::bf16) {
    *reinterpret_cast<unsigned*>(static_cast<bf16*>(out) + at) = packed<bf16>(a, b);
  } else if (type == Tensor::Type::f16) {
    *reinterpret_cast<unsigned*>(static_cast<f16*>(out) + at) = packed<f16>(a, b);
  } else {
    *reinterpret_cast<float2*>(static_cast<float*>(out) + at) = {a, b};
  }
}

}  // namespace deciban::cuda
