// Attention of many rows by mma instructions: four warps of 16 queries each, pages of keys and values passing
// through shared memory.
#include "engine/cuda/attention.h"
#include "engine/cuda/attention_mma.cuh"
#include "engine/cuda/launch_after.cuh"

namespace deciban::cuda {
namespace {

constexpr int kThreads = 128, kStages = 2;

template <int kSize>
constexpr int kPageBytes = 2 * kPageTokens* kSize * 2;
template <typename T, int kSize>
constexpr int kSharedBytes = kStages* kPageBytes<kSize> + 4 * Queries<T, kSize>::kSharedBytes;

template <typename T, int kSize, bool kSlopes>
__global__ __launch_bounds__(kThreads) void mma_kernel(const __grid_constant__ AttentionArgs a) {
  extern __shared__ __align__(1024) unsigned char memory[];
  predecessors_done();
  const int4 tile = a.kv.tiles[blockIdx.x / a.heads];  // first row, rows, slot, position
  const int head = blockIdx.x % a.heads, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const unsigned pages_at = static_cast<unsigned>(__cvta_generic_to_shared(memory));
  std::byte* const* pages = a.kv.pages + static_cast<std::size_t>(tile.z) * a.kv.page_stride;
  const std::size_t offset = a.kv.offset + static_cast<std::size_t>(head / a.group) * a.kv.head_bytes;
  const int last = (tile.w + tile.y - 1) / kPageTokens;
  int p = first_tile(tile.w, a.window, kPageTokens);
  copy_page<kSize, kThreads>(pages_at, pages[p] + offset);
  commit_copies();
  const std::byte* next = p < last ? pages[p + 1] : nullptr;

  Queries<T, kSize> q;
  T* shared = reinterpret_cast<T*>(memory + kStages * kPageBytes<kSize> + warp * q.kSharedBytes);
  q.load(shared, [&](int r) -> const T* {
    const int in_tile = 16 * warp + r;
    if (in_tile >= tile.y) return nullptr;
    return static_cast<const T*>(a.q) + (static_cast<std::size_t>(tile.x + in_tile) * a.heads + head) * kSize;
  });
  const int row = 16 * warp + lane / 4, position = tile.w + row;
  const int lowest = tile.w + 16 * warp;  // of the warp's rows
  const float slope = kSlopes ? a.slopes[head] : 0.0f;
  float sums[kSize / 2];
#pragma unroll
  for (float& s : sums) s = 0;
  RunningRows running;
  for (int stage = 0; p <= last; ++p, stage ^= 1) {
    if (p < last) {
      copy_page<kSize, kThreads>(pages_at + (stage ^ 1) * kPageBytes<kSize>, next + offset);
      next = p + 1 < last ? pages[p + 2] : nullptr;
    }
    commit_copies();
    wait_copies<1>();
    __syncthreads();
    const int begin = p * kPageTokens;
    if (begin <= lowest + 15) {
      const unsigned keys = pages_at + stage * kPageBytes<kSize>;
      float s[kPageTokens / 2], shrink[2];
      score_keys<T, kSize, kPageTokens>(q, keys, 0, s);
      const bool whole =
          begin + kPageTokens - 1 <= lowest && (a.window == 0 || begin > lowest + 15 - a.window);
      weigh<kPageTokens, kSlopes>(s, running, shrink, begin, position, position + 8, a.window, whole, slope,
                                  slope);
      shrink_sums<kSize>(sums, shrink);
      add_values<T, kSize, kPageTokens>(s, keys + kPageBytes<kSize> / 2, 0, sums);
    }
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float inverse = inverse_total(running.total[r]);
    const int in_tile = row + 8 * r;
    if (in_tile >= tile.y) continue;
    const std::size_t at =
        static_cast<std::size_t>(tile.x + in_tile) * a.out_stride + head * kSize + 2 * (lane % 4);
#pragma unroll
    for (int j = 0; j < kSize / 8; ++j) {
      write_pair(a.out, a.out_type, at + 8 * j, sums[4 * j + 2 * r] * inverse,
                 sums[4 * j + 2 * r + 1] * inverse);
    }
  }
}

}  // namespace

bool has_attention_mma(Tensor::Type type, std::size_t head_size) {
  return type != Tensor::Type::f32 &&
         (head_size == 64 || head_size == 80 || head_size == 128 || head_size == 256);
}

void attention_mma(const AttentionArgs& args, cudaStream_t stream) {
  with_mma(args.kv, [&]<typename T, int kSize>() {
    const auto kernel = args.slopes != nullptr ? mma_kernel<T, kSize, true> : mma_kernel<T, kSize, false>;
    constexpr int kBytes = kSharedBytes<T, kSize>;
    DECIBAN_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
    launch_after(kernel, static_cast<unsigned>(args.kv.tile_count * args.heads), kThreads, kBytes, stream,
                 args);
  });
}

}  // namespace deciban::cuda
