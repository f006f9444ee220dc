// Attention of many rows on Hopper: one warp has pages copied into a ring in shared memory, two warpgroups
// multiply, 64 queries each, with scores and weights in registers alone.
#include <algorithm>

#include "engine/cuda/attention.h"
#include "engine/cuda/attention_tile.cuh"
#include "engine/cuda/launch_after.cuh"
#include "engine/cuda/tma.cuh"
#include "engine/cuda/wgmma.cuh"
#include "engine/cuda/wgmma_rows.cuh"

namespace deciban::cuda {
namespace {

constexpr int kGroups = 2, kTileRows = 64 * kGroups;
constexpr int kThreads = 128 * kGroups + 32;  // the last warp copies

// Heads of 64 channels: tiles of one page, and two blocks on a multiprocessor, one of which multiplies while
// the other sets out or ends.  Of 128: tiles of two pages, as their sums fill the registers of a whole one.
template <int kSize>
struct Plan {
  static constexpr int kPages = kSize == 64 ? 1 : 2;
  static constexpr int kBlocks = kSize == 64 ? 2 : 1;
  static constexpr int kStages = kSize == 64 ? 4 : 2;
  static constexpr int kKeys = kPages * kPageTokens, kParts = kSize / 64;
  static constexpr int kTileBytes = kKeys * kSize * 2;  // of keys, or of values
  static constexpr int kQueryBytes = kTileRows * kSize * 2;
  static constexpr int kSharedBytes = kQueryBytes + 2 * kStages * kTileBytes + 1024 + (4 * kStages + 3) * 8;
};

// Bytes to shared memory, a barrier there being told.
__device__ inline void copy_bytes(void* to, const void* from, int bytes, std::uint64_t* b) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
          shared_address(to)),
      "l"(from), "r"(bytes), "r"(shared_address(b))
      : "memory");
}
__device__ inline void arrive_here(std::uint64_t* b) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
}
// Values as right operand: N (channels) contiguous, blocks of 64 channels `apart` bytes apart.
__device__ inline std::uint64_t value_operand(const void* p, int apart) {
  return (static_cast<std::uint64_t>(shared_address(p)) & 0x3ffff) >> 4 |
         static_cast<std::uint64_t>(apart / 16) << 16 | std::uint64_t{64} << 32 | std::uint64_t{1} << 62;
}

struct Work {
  int4 tile;              // first row, rows, slot, position
  int head, first, last;  // tiles of keys
};
template <int kKeys>
__device__ inline Work work_at(const AttentionArgs& a, int item) {
  Work w;
  w.tile = a.kv.tiles[item / a.heads];
  w.head = item % a.heads;
  w.first = first_tile(w.tile.w, a.window, kKeys);
  w.last = (w.tile.w + w.tile.y - 1) / kKeys;
  return w;
}

// The item and its queries, when the last one's are done with.  Behind the tile's rows lie others, which
// nobody looks at.
template <int kSize>
__device__ void copy_queries(const CUtensorMap* map, const Work& w, int item, volatile int* told,
                             unsigned char* to, std::uint64_t* full, std::uint64_t* empty, int parity) {
  barrier_wait(empty, parity ^ 1);
  if (threadIdx.x % 32 == 0) {
    *told = item;
    barrier_expect(full, Plan<kSize>::kQueryBytes);
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
#pragma unroll
      for (int part = 0; part < kSize / 64; ++part) {
        copy_tile(to + (group * (kSize / 64) + part) * kPartBytes, map, w.head * kSize + part * 64,
                  w.tile.x + 64 * group, full);
      }
    }
  }
  __syncwarp();
}

// Sixteen bytes of the tile of queries, as the copies leave them.
__device__ inline uint4* query_piece(unsigned char* own, int row, int channel) {
  return reinterpret_cast<uint4*>(own + channel / 64 * kPartBytes + row * 128 +
                                  ((channel / 8 % 8) ^ (row % 8)) * 16);
}
__device__ inline void widen(uint4 raw, float (&to)[8]) {
  f16 v[8];
  memcpy(v, &raw, 16);
#pragma unroll
  for (int e = 0; e < 8; ++e) to[e] = __half2float(v[e]);
}

// Queries of a warpgroup that came as products left them, made ready where they lie: turned, scaled, and of
// the cache's type.  Eight neighbouring lanes have a row.
template <typename T, int kSize>
__device__ __forceinline__ void prepare_queries(const AttentionArgs& a, const Work& w, int group,
                                                unsigned char* own) {
  constexpr int kParts = kSize / 64;
  const int lane = threadIdx.x % 128, half = a.rotary / 2;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 8 + 16 * i;
    const auto in_chunk = static_cast<std::size_t>(min(w.tile.x + 64 * group + row, a.rows - 1));
    const float2* turns = a.turns + in_chunk * half;
    uint4 ready[kParts];
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int c = 64 * part + 8 * (lane % 8);
      float x[8];
      widen(*query_piece(own, row, c), x);
      if (c < a.rotary) {
        const bool front = a.interleaved || c < half;
        const auto* by = reinterpret_cast<const float4*>(turns + (a.interleaved ? c / 2
                                                                  : front       ? c
                                                                                : c - half));
        if (a.interleaved) {
#pragma unroll
          for (int e = 0; e < 8; e += 4) {
            const float4 two = __ldg(by + e / 4);
            const float first = x[e], second = x[e + 1], third = x[e + 2], fourth = x[e + 3];
            x[e] = first * two.x - second * two.y;
            x[e + 1] = second * two.x + first * two.y;
            x[e + 2] = third * two.z - fourth * two.w;
            x[e + 3] = fourth * two.z + third * two.w;
          }
        } else {
          float other[8];
          widen(*query_piece(own, row, front ? c + half : c - half), other);
          const float sign = front ? -1.0f : 1.0f;
#pragma unroll
          for (int e = 0; e < 8; e += 2) {
            const float4 two = __ldg(by + e / 2);
            x[e] = x[e] * two.x + sign * (other[e] * two.y);
            x[e + 1] = x[e + 1] * two.z + sign * (other[e + 1] * two.w);
          }
        }
      }
      unsigned words[4];
#pragma unroll
      for (int e = 0; e < 4; ++e) words[e] = packed<T>(x[2 * e] * a.scale, x[2 * e + 1] * a.scale);
      ready[part] = {words[0], words[1], words[2], words[3]};
    }
    __syncwarp();  // all of the row has been read
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      *query_piece(own, row, 64 * part + 8 * (lane % 8)) = ready[part];
    }
  }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// What the copying warp does for one item: all tiles of keys and of values, each when its place is free.
template <int kSize>
__device__ void copy_pages(const AttentionArgs& a, const Work& w, unsigned char* keys, unsigned char* values,
                           std::uint64_t* full, std::uint64_t* empty, int& stage, int& parity) {
  using P = Plan<kSize>;
  const int lane = threadIdx.x % 32;
  std::byte* const* pages = a.kv.pages + static_cast<std::size_t>(w.tile.z) * a.kv.page_stride;
  const std::size_t offset = a.kv.offset + static_cast<std::size_t>(w.head / a.group) * a.kv.head_bytes;
  const int last_page = (w.tile.w + w.tile.y - 1) / kPageTokens;
  const int begin = w.first * P::kPages, end = (w.last + 1) * P::kPages;
  const std::byte* mine = nullptr;
  for (int p = begin; p < end; p += P::kPages) {
    if ((p - begin) % 32 == 0) mine = pages[min(p + lane, last_page)];
    const std::byte* from[P::kPages];
#pragma unroll
    for (int i = 0; i < P::kPages; ++i) {
      // Behind the last page lies nothing that is seen, but it must be finite.
      from[i] = reinterpret_cast<const std::byte*>(
          __shfl_sync(0xffffffffu, reinterpret_cast<unsigned long long>(mine), (p - begin) % 32 + i));
      from[i] += offset;
    }
#pragma unroll
    for (int kind = 0; kind < 2; ++kind) {  // keys, values
      barrier_wait(empty + 2 * stage + kind, parity ^ 1);
      if (lane == 0) {
        std::uint64_t* told = full + 2 * stage + kind;
        unsigned char* to = (kind == 0 ? keys : values) + stage * P::kTileBytes;
        barrier_expect(told, P::kTileBytes);
#pragma unroll
        for (int i = 0; i < P::kPages; ++i) {
#pragma unroll
          for (int part = 0; part < P::kParts; ++part) {
            copy_bytes(to + (part * P::kPages + i) * kPartBytes,
                       from[i] + kind * a.kv.value_offset + part * kPartBytes, kPartBytes, told);
          }
        }
      }
      __syncwarp();
    }
    if (++stage == P::kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
}

template <typename T, int kSize, bool kSlopes>
__global__ __launch_bounds__(kThreads, Plan<kSize>::kBlocks) void attention90_kernel(
    const __grid_constant__ AttentionArgs a, const __grid_constant__ CUtensorMap query_map) {
#ifdef DECIBAN_HOPPER
  using P = Plan<kSize>;
  extern __shared__ unsigned char memory[];
  const unsigned base = shared_address(memory);
  unsigned char* queries = memory + ((base + 1023) / 1024 * 1024 - base);
  unsigned char* keys = queries + P::kQueryBytes;
  unsigned char* values = keys + P::kStages * P::kTileBytes;
  // Of each stage: keys, values.
  auto* full = reinterpret_cast<std::uint64_t*>(values + P::kStages * P::kTileBytes);
  std::uint64_t* empty = full + 2 * P::kStages;
  std::uint64_t *queries_full = empty + 2 * P::kStages, *queries_empty = queries_full + 1;
  auto* told =
      reinterpret_cast<volatile int*>(queries_empty + 1);  // the item whose queries lie there; -1: no more
  if (threadIdx.x == 0) {
    barrier_init(queries_full, 1);
    barrier_init(queries_empty, kGroups);
    for (int i = 0; i < 2 * P::kStages; ++i) {
      barrier_init(full + i, 1);
      barrier_init(empty + i, kGroups);
    }
    asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
  }
  __syncthreads();
  predecessors_done();
  const int items = a.kv.tile_count * a.heads, group = threadIdx.x / 128;
  int stage = 0, parity = 0, query_parity = 0;
  if (group == kGroups) {
    // Items differ in length: whoever is free takes the next one.
    for (int item = blockIdx.x; item < items; query_parity ^= 1) {
      int next = 0;
      if (threadIdx.x % 32 == 0) next = atomicAdd(a.counter, 1) + static_cast<int>(gridDim.x);
      const Work w = work_at<P::kKeys>(a, item);
      copy_queries<kSize>(&query_map, w, item, told, queries, queries_full, queries_empty, query_parity);
      copy_pages<kSize>(a, w, keys, values, full, empty, stage, parity);
      item = __shfl_sync(0xffffffffu, next, 0);
    }
    barrier_wait(queries_empty, query_parity ^ 1);
    if (threadIdx.x % 32 == 0) {
      *told = -1;
      arrive_here(queries_full);
    }
    return;
  }
  unsigned char* own = queries + group * 64 * kSize * 2;
  const int lane = threadIdx.x % 128, row = lane / 32 * 16 + lane % 32 / 4;
  while (true) {
    barrier_wait(queries_full, query_parity);
    query_parity ^= 1;
    const int item = *told;
    if (item < 0) break;
    const Work w = work_at<P::kKeys>(a, item);
    if (a.raw) prepare_queries<T, kSize>(a, w, group, own);
    // The warpgroup knows its item and has its queries before one of its threads says that they may go.
    if (group == 0) {
      asm volatile("bar.sync 1, 128;" ::: "memory");
    } else {
      asm volatile("bar.sync 2, 128;" ::: "memory");
    }
    const float slope = kSlopes ? a.slopes[w.head] : 0.0f;
    const int position = w.tile.w + 64 * group + row;  // of the thread's first row
    const int lowest = w.tile.w + 64 * group;          // of the warpgroup's
    float sums[kSize / 2];
#pragma unroll
    for (float& s : sums) s = 0;
    RunningRows running;
    const auto advance = [&] {
      if (++stage == P::kStages) {
        stage = 0;
        parity ^= 1;
      }
    };
    for (int t = w.first; t <= w.last; ++t) {
      float s[P::kKeys / 2];
      const int begin = t * P::kKeys;
      barrier_wait(full + 2 * stage, parity);
      if (begin > lowest + 63 || 64 * group >= w.tile.y) {  // the other warpgroup's alone
        if (t == w.last && lane == 0) arrive_here(queries_empty);
        if (lane == 0) arrive_here(empty + 2 * stage);
        barrier_wait(full + 2 * stage + 1, parity);
        if (lane == 0) arrive_here(empty + 2 * stage + 1);
        advance();
        continue;
      }
      asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
      for (int part = 0; part < P::kParts; ++part) {
        const std::uint64_t left = operand(own + part * kPartBytes);
        const std::uint64_t right = operand(keys + stage * P::kTileBytes + part * P::kPages * kPartBytes);
#pragma unroll
        for (int i = 0; i < 4; ++i) Wgmma<T, P::kKeys>::run(s, left + 2 * i, right + 2 * i, part + i > 0);
      }
      asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
      if (lane == 0) {
        arrive_here(empty + 2 * stage);
        if (t == w.last) arrive_here(queries_empty);
      }
      float shrink[2];
      const bool whole = begin + P::kKeys - 1 <= lowest && (a.window == 0 || begin > lowest + 63 - a.window);
      weigh<P::kKeys, kSlopes>(s, running, shrink, begin, position, position + 8, a.window, whole, slope,
                               slope);
#pragma unroll
      for (int j = 0; j < kSize / 8; ++j) {
        sums[4 * j] *= shrink[0];
        sums[4 * j + 1] *= shrink[0];
        sums[4 * j + 2] *= shrink[1];
        sums[4 * j + 3] *= shrink[1];
      }
      unsigned weights[P::kKeys / 16][4];
#pragma unroll
      for (int i = 0; i < P::kKeys / 16; ++i) {
#pragma unroll
        for (int e = 0; e < 4; ++e) weights[i][e] = packed<T>(s[8 * i + 2 * e], s[8 * i + 2 * e + 1]);
      }
      barrier_wait(full + 2 * stage + 1, parity);
      asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
      const std::uint64_t right = value_operand(values + stage * P::kTileBytes, P::kPages * kPartBytes);
#pragma unroll
      for (int i = 0; i < P::kKeys / 16; ++i) {
        WgmmaRows<T, kSize>::run(sums, weights[i], right + 16 * 128 / 16 * i);
      }
      asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
      if (lane == 0) arrive_here(empty + 2 * stage + 1);
      advance();
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float inverse = inverse_total(running.total[r]);
      const int in_tile = 64 * group + row + 8 * r;
      if (in_tile >= w.tile.y) continue;
      const std::size_t at =
          static_cast<std::size_t>(w.tile.x + in_tile) * a.out_stride + w.head * kSize + 2 * (lane % 4);
#pragma unroll
      for (int j = 0; j < kSize / 8; ++j) {
        write_pair(a.out, a.out_type, at + 8 * j, sums[4 * j + 2 * r] * inverse,
                   sums[4 * j + 2 * r + 1] * inverse);
      }
    }
  }
#endif
}

template <typename T, int kSize, bool kSlopes>
void launch(const AttentionArgs& args, int multiprocessors, cudaStream_t stream) {
  using P = Plan<kSize>;
  const auto kernel = attention90_kernel<T, kSize, kSlopes>;
  DECIBAN_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, P::kSharedBytes));
  const int blocks = std::min(args.kv.tile_count * args.heads, multiprocessors * P::kBlocks);
  const auto columns = static_cast<std::size_t>(args.heads) * kSize;
  const CUtensorMap queries =
      tile_map(args.kv.type == Tensor::Type::bf16 ? Operands::bf16 : Operands::f16, args.q,
               static_cast<std::size_t>(args.rows), columns, args.q_stride, 64);
  launch_after(kernel, static_cast<unsigned>(blocks), kThreads, P::kSharedBytes, stream, args, queries);
}

}  // namespace

void attention90(const AttentionArgs& args, int multiprocessors, cudaStream_t stream) {
  const auto go = [&]<typename T, int kSize>() {
    if (args.slopes != nullptr) return launch<T, kSize, true>(args, multiprocessors, stream);
    launch<T, kSize, false>(args, multiprocessors, stream);
  };
  const bool is_bf16 = args.kv.type == Tensor::Type::bf16;
  if (args.kv.size == 64) {
    return is_bf16 ? go.template operator()<bf16, 64>() : go.template operator()<f16, 64>();
  }
  is_bf16 ? go.template operator()<bf16, 128>() : go.template operator()<f16, 128>();
}

}  // namespace deciban::cuda
