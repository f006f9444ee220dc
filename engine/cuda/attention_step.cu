// Attention of single rows: reading keys and values is all there is to it.  The query heads that share a head
// of keys are the rows of one matrix instruction, and a sequence's pages are shared out over blocks, the
// last of which puts their results together.
#include <algorithm>

#include "engine/cuda/attention.h"
#include "engine/cuda/attention_mma.cuh"
#include "engine/cuda/launch_after.cuh"

namespace deciban::cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kWarpKeys = kPageTokens / kWarps;  // of each page, a warp's own
constexpr int kMostSplits = 64;

template <int kSize>
constexpr int kStages = kSize <= 128 ? 3 : 2;
template <int kSize>
constexpr int kPageBytes = 2 * kPageTokens* kSize * 2;
// Sums of all warps, and their running maxima and totals; they take the pages' place.
template <int kSize>
constexpr int kMergeBytes = kWarps * 16 * (kSize + 2) * 4;
template <typename T, int kSize>
constexpr int kSharedBytes =
    std::max(kStages<kSize>* kPageBytes<kSize>, kMergeBytes<kSize>) + Queries<T, kSize>::kSharedBytes;

struct StepArgs {
  AttentionArgs a;
  int splits, tiles;  // tiles of 16 query heads a head of keys
  float* sums;        // [rows][heads][splits][size]
  float2* ends;       // [rows][heads][splits]: maximum and total
};

// The results of all shares of a row's heads [head, head + heads), to `out`; by one block.
template <int kSize>
__device__ void combine(const StepArgs& s, int row, int head, int heads) {
  const AttentionArgs& a = s.a;
  for (int i = threadIdx.x; i < heads * kSize / 2; i += kThreads) {
    const int h = head + i / (kSize / 2), c = i % (kSize / 2) * 2;
    const std::size_t first = (static_cast<std::size_t>(row) * a.heads + h) * s.splits;
    float most = -INFINITY;
    for (int n = 0; n < s.splits; ++n) most = fmaxf(most, __ldcg(&s.ends[first + n]).x);
    float total = 0;
    float2 sum = {0, 0};
    for (int n = 0; n < s.splits; ++n) {
      const float2 e = __ldcg(&s.ends[first + n]);
      const float2 part = __ldcg(reinterpret_cast<const float2*>(s.sums + (first + n) * kSize + c));
      if (e.x == -INFINITY) continue;  // a share without pages
      const float factor = exp2_fast((e.x - most) * kLog2e);
      total = fmaf(e.y, factor, total);
      sum.x = fmaf(part.x, factor, sum.x);
      sum.y = fmaf(part.y, factor, sum.y);
    }
    const float inverse = 1.0f / total;
    write_pair(a.out, a.out_type, row * a.out_stride + static_cast<std::size_t>(h) * kSize + c,
               sum.x * inverse, sum.y * inverse);
  }
}

template <typename T, int kSize, bool kSlopes>
__global__ __launch_bounds__(kThreads) void step_kernel(const __grid_constant__ StepArgs s) {
  extern __shared__ __align__(1024) unsigned char memory[];
  predecessors_done();
  const AttentionArgs& a = s.a;
  const int row = blockIdx.z, kv_head = blockIdx.y / s.tiles, first_head = blockIdx.y % s.tiles * 16;
  const int heads = min(16, a.group - first_head), warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int2 at = a.kv.rows[row];  // slot, position
  const int begin = first_tile(at.y, a.window, kPageTokens), end = at.y / kPageTokens + 1;
  const int share = (end - begin + s.splits - 1) / s.splits;
  const int first = begin + static_cast<int>(blockIdx.x) * share, last = min(first + share, end);
  std::byte* const* pages = a.kv.pages + static_cast<std::size_t>(at.x) * a.kv.page_stride;
  const std::size_t offset = a.kv.offset + static_cast<std::size_t>(kv_head) * a.kv.head_bytes;
  const unsigned ring = static_cast<unsigned>(__cvta_generic_to_shared(memory));
  constexpr int kAhead = kStages<kSize> - 1;
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    if (first + i < last) {
      copy_page<kSize, kThreads>(ring + i * kPageBytes<kSize>, pages[first + i] + offset);
    }
    commit_copies();
  }
  const std::byte* next = first + kAhead < last ? pages[first + kAhead] : nullptr;
  const int head = kv_head * a.group + first_head;  // the tile's first
  Queries<T, kSize> q;
  q.load(reinterpret_cast<T*>(memory + kSharedBytes<T, kSize> - q.kSharedBytes), [&](int r) -> const T* {
    if (r >= heads) return nullptr;
    return static_cast<const T*>(a.q) + (static_cast<std::size_t>(row) * a.heads + head + r) * kSize;
  });
  const int mine = lane / 4;  // and 8 below
  float slopes[2] = {};
  if constexpr (kSlopes) {
    if (mine < heads) slopes[0] = a.slopes[head + mine];
    if (mine + 8 < heads) slopes[1] = a.slopes[head + mine + 8];
  }
  float sums[kSize / 2];
#pragma unroll
  for (float& x : sums) x = 0;
  RunningRows running;
  for (int p = first, stage = 0; p < last; ++p) {
    if (p + kAhead < last) {
      const int to = stage == 0 ? kAhead : stage - 1;  // the one that was read last
      copy_page<kSize, kThreads>(ring + to * kPageBytes<kSize>, next + offset);
      next = p + kAhead + 1 < last ? pages[p + kAhead + 1] : nullptr;
    }
    commit_copies();
    wait_copies<kAhead>();
    __syncthreads();
    const unsigned keys = ring + stage * kPageBytes<kSize>;
    const int key = p * kPageTokens + warp * kWarpKeys;
    float score[kWarpKeys / 2], shrink[2];
    score_keys<T, kSize, kWarpKeys>(q, keys, warp * kWarpKeys, score);
    const bool whole = key + kWarpKeys - 1 <= at.y && (a.window == 0 || key > at.y - a.window);
    weigh<kWarpKeys, kSlopes>(score, running, shrink, key, at.y, at.y, a.window, whole, slopes[0], slopes[1]);
    shrink_sums<kSize>(sums, shrink);
    add_values<T, kSize, kWarpKeys>(score, keys + kPageBytes<kSize> / 2, warp * kWarpKeys, sums);
    __syncthreads();
    if (++stage == kStages<kSize>) stage = 0;
  }
  // All warps' results together.
  wait_copies<0>();
  __syncthreads();
  auto* all = reinterpret_cast<float*>(memory);                       // [warp][16][kSize]
  auto* ends = reinterpret_cast<float2*>(all + kWarps * 16 * kSize);  // [warp][16]
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float total = running.total[r];
    total += __shfl_xor_sync(0xffffffffu, total, 1);
    total += __shfl_xor_sync(0xffffffffu, total, 2);
    const int at_row = warp * 16 + mine + 8 * r;
    if (lane % 4 == 0) ends[at_row] = {running.most[r], total};
#pragma unroll
    for (int j = 0; j < kSize / 8; ++j) {
      *reinterpret_cast<float2*>(all + at_row * kSize + 8 * j + 2 * (lane % 4)) = {sums[4 * j + 2 * r],
                                                                                   sums[4 * j + 2 * r + 1]};
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < heads * kSize / 2; i += kThreads) {
    const int h = i / (kSize / 2), c = i % (kSize / 2) * 2;
    float most = -INFINITY, total = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) most = fmaxf(most, ends[w * 16 + h].x);
    float2 sum = {0, 0};
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      const float2 e = ends[w * 16 + h];
      const float factor = e.x == -INFINITY ? 0.0f : exp2_fast((e.x - most) * kLog2e);
      const float2 part = *reinterpret_cast<const float2*>(all + (w * 16 + h) * kSize + c);
      total = fmaf(e.y, factor, total);
      sum.x = fmaf(part.x, factor, sum.x);
      sum.y = fmaf(part.y, factor, sum.y);
    }
    if (s.splits == 1) {
      const float inverse = 1.0f / total;
      write_pair(a.out, a.out_type, row * a.out_stride + static_cast<std::size_t>(head + h) * kSize + c,
                 sum.x * inverse, sum.y * inverse);
      continue;
    }
    const std::size_t place = (static_cast<std::size_t>(row) * a.heads + head + h) * s.splits + blockIdx.x;
    *reinterpret_cast<float2*>(s.sums + place * kSize + c) = sum;
    if (c == 0) s.ends[place] = {most, total};
  }
  if (s.splits == 1) return;
  // Whoever comes last puts all shares together, always in the same order.
  __shared__ bool last_of_all;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    int* counter = a.kv.counters + static_cast<std::size_t>(row) * gridDim.y + blockIdx.y;
    last_of_all = atomicAdd(counter, 1) == s.splits - 1;
    if (last_of_all) *counter = 0;
  }
  __syncthreads();
  if (!last_of_all) return;
  __threadfence();
  combine<kSize>(s, row, head, heads);
}

int head_tiles(const AttentionArgs& a) { return (a.group + 15) / 16; }

// So many blocks that every multiprocessor has some, but no more than there are pages.
int splits_of(const AttentionArgs& a, int multiprocessors) {
  const int blocks = a.rows * (a.heads / a.group) * head_tiles(a);
  if (head_tiles(a) > kStepCounters) return 1;
  const int wanted = (4 * multiprocessors + blocks - 1) / blocks;
  return std::clamp(wanted, 1, std::min(kMostSplits, a.kv.most_pages));
}

}  // namespace

std::size_t step_scratch_bytes(const AttentionArgs& args, int multiprocessors) {
  const auto places = static_cast<std::size_t>(args.rows) * args.heads * splits_of(args, multiprocessors);
  return places * (sizeof(float2) + static_cast<std::size_t>(args.kv.size) * sizeof(float));
}

void attention_step(const AttentionArgs& args, int multiprocessors, void* scratch, cudaStream_t stream) {
  StepArgs s{};
  s.splits = splits_of(args, multiprocessors);
  s.tiles = head_tiles(args);
  s.ends = static_cast<float2*>(scratch);
  s.sums = reinterpret_cast<float*>(s.ends + static_cast<std::size_t>(args.rows) * args.heads * s.splits);
  s.a = args;
  with_mma(args.kv, [&]<typename T, int kSize>() {
    const auto kernel = args.slopes != nullptr ? step_kernel<T, kSize, true> : step_kernel<T, kSize, false>;
    constexpr int kBytes = kSharedBytes<T, kSize>;
    DECIBAN_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
    constexpr int kMostRows = 65535;  // of a grid
    for (int first = 0; first < args.rows; first += kMostRows) {
      StepArgs part = s;
      const auto rows = static_cast<std::size_t>(first);
      part.a.rows = std::min(kMostRows, args.rows - first);
      part.a.kv.rows += first;
      part.a.kv.counters += rows * (args.heads / args.group) * s.tiles;
      part.a.q = static_cast<const T*>(args.q) + rows * args.heads * kSize;
      part.a.out =
          static_cast<std::byte*>(args.out) + rows * args.out_stride * Tensor::element_bytes(args.out_type);
      part.ends += rows * args.heads * s.splits;
      part.sums += rows * args.heads * s.splits * kSize;
      const dim3 grid(static_cast<unsigned>(s.splits),
                      static_cast<unsigned>(args.heads / args.group * s.tiles),
                      static_cast<unsigned>(part.a.rows));
      launch_after(kernel, grid, kThreads, kBytes, stream, part);
    }
  });
}

}  // namespace deciban::cuda
