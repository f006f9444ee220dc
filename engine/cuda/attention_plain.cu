// Attention in f32 arithmetic on keys of any type and heads of any even size: the reference, and what serves
// where no matrix instructions do.
#include "engine/cuda/attention.h"
#include "engine/cuda/attention_tile.cuh"
#include "engine/cuda/launch_after.cuh"

namespace deciban::cuda {
namespace {

// A block: 64 queries of one head, and 128 channels of their results.  Thread (y, x) of 16 by 16 has rows
// 4 y … 4 y + 3, and of a page's keys, or of the channels, those that are x modulo 16.
constexpr int kTileRows = 64, kThreads = 256, kPart = 32, kChannels = 128, kValueKeys = 16;

template <typename T>
__device__ float element(const std::byte* head, int padded, int token, int channel) {
  constexpr bool kNarrow = !std::is_same_v<T, float>;
  return to_float(*reinterpret_cast<const T*>(head + element_offset(padded, kNarrow, token, channel)));
}

template <typename T>
__global__ __launch_bounds__(kThreads) void plain_kernel(const __grid_constant__ AttentionArgs a) {
  __shared__ float queries[kTileRows][kPart + 1], keys[kPageTokens][kPart + 1];
  __shared__ float weights[kTileRows][kPageTokens + 1], values[kValueKeys][kChannels];
  predecessors_done();
  const int4 tile = a.kv.tiles[blockIdx.x];  // first row, rows, slot, position
  const int head = blockIdx.y, first_channel = blockIdx.z * kChannels;
  const int x = threadIdx.x % 16, y = threadIdx.x / 16, padded = a.kv.padded;
  const T* q = static_cast<const T*>(a.q) + (static_cast<std::size_t>(tile.x) * a.heads + head) * padded;
  const std::size_t q_stride = static_cast<std::size_t>(a.heads) * padded;
  const float slope = a.slopes == nullptr ? 0.0f : a.slopes[head];
  float most[4], total[4] = {}, sums[4][kChannels / 16] = {};
  for (float& m : most) m = -INFINITY;
  const int last_page = (tile.w + tile.y - 1) / kPageTokens;
  for (int p = first_tile(tile.w, a.window, kPageTokens); p <= last_page; ++p) {
    const std::byte* page = a.kv.pages[static_cast<std::size_t>(tile.z) * a.kv.page_stride + p] +
                            a.kv.offset + static_cast<std::size_t>(head / a.group) * a.kv.head_bytes;
    float score[4][4] = {};
    for (int part = 0; part < a.kv.size; part += kPart) {
      __syncthreads();
      for (int i = threadIdx.x; i < kTileRows * kPart; i += kThreads) {
        const int r = i / kPart, c = part + i % kPart;
        queries[r][i % kPart] = r < tile.y && c < a.kv.size ? to_float(q[r * q_stride + c]) : 0.0f;
        keys[r][i % kPart] = c < a.kv.size ? element<T>(page, padded, r, c) : 0.0f;
      }
      __syncthreads();
#pragma unroll 8
      for (int c = 0; c < kPart; ++c) {
        float left[4], right[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) left[i] = queries[4 * y + i][c], right[i] = keys[x + 16 * i][c];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int j = 0; j < 4; ++j) score[i][j] = fmaf(left[i], right[j], score[i][j]);
        }
      }
    }
    float shrink[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int at = tile.w + 4 * y + i;
      float top = most[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int key = p * kPageTokens + x + 16 * j;
        score[i][j] = fmaf(slope, static_cast<float>(key - at), score[i][j]);
        if (key > at || (a.window != 0 && key <= at - a.window)) score[i][j] = -INFINITY;
        top = fmaxf(top, score[i][j]);
      }
      for (int lane = 8; lane > 0; lane /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, lane));
      const float centre = top == -INFINITY ? 0.0f : top;  // a row that has seen nothing yet
      shrink[i] = expf(most[i] - centre);
      most[i] = top;
      float sum = 0;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float weight = expf(score[i][j] - centre);
        sum += weight;
        weights[4 * y + i][x + 16 * j] = weight;
      }
      total[i] = fmaf(total[i], shrink[i], sum);
#pragma unroll
      for (float& s : sums[i]) s *= shrink[i];
    }
    for (int first = 0; first < kPageTokens; first += kValueKeys) {
      __syncthreads();
      for (int i = threadIdx.x; i < kValueKeys * kChannels; i += kThreads) {
        const int c = first_channel + i % kChannels;
        values[i / kChannels][i % kChannels] =
            c < a.kv.size ? element<T>(page + a.kv.value_offset, padded, first + i / kChannels, c) : 0.0f;
      }
      __syncthreads();
#pragma unroll 4
      for (int n = 0; n < kValueKeys; ++n) {
        float left[4], right[kChannels / 16];
#pragma unroll
        for (int i = 0; i < 4; ++i) left[i] = weights[4 * y + i][first + n];
#pragma unroll
        for (int j = 0; j < kChannels / 16; ++j) right[j] = values[n][x + 16 * j];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int j = 0; j < kChannels / 16; ++j) sums[i][j] = fmaf(left[i], right[j], sums[i][j]);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    for (int lane = 8; lane > 0; lane /= 2) total[i] += __shfl_xor_sync(0xffffffffu, total[i], lane);
    const float inverse = 1.0f / total[i];
    if (4 * y + i >= tile.y) continue;
    const std::size_t row = (static_cast<std::size_t>(tile.x) + 4 * y + i) * a.out_stride;
#pragma unroll
    for (int j = 0; j < kChannels / 16; ++j) {
      const int c = first_channel + x + 16 * j;
      if (c >= a.kv.size) continue;
      const std::size_t at = row + static_cast<std::size_t>(head) * a.kv.size + c;
      const float value = sums[i][j] * inverse;
      if (a.out_type == Tensor::Type::bf16) {
        static_cast<bf16*>(a.out)[at] = from_float<bf16>(value);
      } else if (a.out_type == Tensor::Type::f16) {
        static_cast<f16*>(a.out)[at] = from_float<f16>(value);
      } else {
        static_cast<float*>(a.out)[at] = value;
      }
    }
  }
}

}  // namespace

void attention_plain(const AttentionArgs& args, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(args.kv.tile_count), static_cast<unsigned>(args.heads),
                  static_cast<unsigned>((args.kv.size + kChannels - 1) / kChannels));
  with_type(args.kv.type,
            [&]<typename T>() { launch_after(plain_kernel<T>, grid, kThreads, 0, stream, args); });
}

}  // namespace deciban::cuda
