#include <cuda.h>
#include <cudaTypedefs.h>

#include <algorithm>

#include "engine/cuda/check.h"
#include "engine/cuda/epilogue.cuh"
#include "engine/cuda/gemm90.h"
#include "engine/cuda/launch_after.cuh"
#include "engine/cuda/wgmma.cuh"

namespace deciban::cuda {
namespace {

// A block: one thread that has tiles copied into a ring in shared memory, and two warpgroups that multiply,
// 64 rows each.  Blocks stay and take one tile after the other.
constexpr int kTileRows = 128, kTileInputs = 64, kThreads = 384;
constexpr int kMostProducts = 8;
constexpr int kGroupRows =
    8;  // pairs of tiles in a column of neighbours, whose operands stay in the L2 cache

// Narrow tiles are for products that have few: these go without a mate.
template <int kColumns>
constexpr int kPair = kColumns >= 128 ? 2 : 1;
template <int kColumns>
constexpr int kStages = kColumns == 256   ? 4
                        : kColumns == 128 ? 6
                                          : 8;
template <int kColumns>
constexpr int kStageBytes = (kTileRows + kColumns) * kTileInputs * 2;
template <int kColumns>
constexpr int kSharedBytes = kStages<kColumns>* kStageBytes<kColumns> + 1024 + 256;

struct Problem {
  CUtensorMap x, w;
  Finish finish;
  int rows, columns, inputs;
  int pairs, tile_columns, end;  // pairs of tiles of this problem lie before `end` in the common numbering
};
struct Problems {
  Problem at[kMostProducts];
  int count, pairs;
  // The head's, of one problem.
  const Token* targets;
  HeadPartial* partials;
  float* target_logits;
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define DECIBAN_HOPPER 1
#endif

__device__ inline unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}
__device__ inline void barrier_init(std::uint64_t* b, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals));
}
__device__ inline void barrier_expect(std::uint64_t* b, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes)
               : "memory");
}
// Arrives at the same barrier of the cluster's block `rank`.  No release: who arrives has only read, and
// ordering memory for the whole cluster would cost more than the products.
__device__ inline void barrier_arrive(std::uint64_t* b, int rank) {
  asm volatile(
      "{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [there];\n}" ::"r"(shared_address(b)),
      "r"(rank)
      : "memory");
}
__device__ inline void barrier_wait(std::uint64_t* b, int parity) {
  asm volatile(
      "{\n.reg .pred done;\nagain:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra over;\nbra again;\nover:\n}" ::"r"(shared_address(b)),
      "r"(parity)
      : "memory");
}
__device__ inline void copy_tile(void* to, const CUtensorMap* map, int column, int row, std::uint64_t* b) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3}], "
      "[%4];" ::"r"(shared_address(to)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(b))
      : "memory");
}
// The same into every block of a pair, at the same place, each block's barrier being told.
__device__ inline void copy_tile_to_pair(void* to, const CUtensorMap* map, int column, int row,
                                         std::uint64_t* b) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(to)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(b)), "h"(static_cast<unsigned short>(3))
      : "memory");
}
__device__ inline void cluster_sync() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
// K-major operand, 128-byte swizzle: atoms of 8 rows lie 1024 bytes apart.
__device__ inline std::uint64_t operand(const void* p) {
  return (static_cast<std::uint64_t>(shared_address(p)) & 0x3ffff) >> 4 | std::uint64_t{1} << 16 |
         std::uint64_t{64} << 32 | std::uint64_t{1} << 62;
}

struct Place {
  const Problem* problem;
  int row, column;  // of the first element of this block's tile
};
template <int kColumns>
__device__ inline Place place(const Problems& all, int pair, int rank) {
  int i = 0, first = 0;
  while (pair >= all.at[i].end) first = all.at[i++].end;
  const Problem& p = all.at[i];
  pair -= first;
  const int group = pair / (kGroupRows * p.tile_columns);
  const int height = min(kGroupRows, p.pairs - group * kGroupRows);
  pair -= group * kGroupRows * p.tile_columns;
  return {&p, ((group * kGroupRows + pair % height) * kPair<kColumns> + rank) * kTileRows,
          pair / height * kColumns};
}

// Epilogues that models use have code of their own, without a decision in the loop; `kAny` serves all others.
enum class Width {
  wide,
  narrow,
  any
};  // of y and of what it is combined with: f32, bf16 or f16, decided late

__device__ __forceinline__ float4 widened(uint2 raw, bool is_bf16) {
  if (is_bf16) {
    return {__uint_as_float(raw.x << 16), __uint_as_float(raw.x & 0xffff0000u), __uint_as_float(raw.y << 16),
            __uint_as_float(raw.y & 0xffff0000u)};
  }
  f16 v[4];
  memcpy(v, &raw, 8);
  return {to_float(v[0]), to_float(v[1]), to_float(v[2]), to_float(v[3])};
}
__device__ __forceinline__ void store_narrow(void* at, bool is_bf16, float4 v) {
  if (is_bf16) {
    store4(static_cast<bf16*>(at), v);
  } else {
    store4(static_cast<f16*>(at), v);
  }
}

// The thread's part of a tile to y: rows `row` and `row` + 8.
template <int kColumns, Epilogue::Act kAct, Epilogue::Combine kCombine, Width kWidth>
__device__ __forceinline__ void write_tile(const Finish& f, int rows, int columns,
                                           const float (&d)[kColumns / 2], int row, int column) {
  using enum Epilogue::Combine;
  const int quad = threadIdx.x % 4;
  const bool odd = quad & 1;
  // Of columns 8 j … 8 j + 15 a lane has 2 quad and 2 quad + 1 of either half; neighbours swap halves, so
  // that each has four columns in a row and the four lanes of a row fill whole sectors.
  column += 8 * odd + 4 * (quad / 2);
  constexpr int kBytes = kWidth == Width::wide ? 4 : 2;
  const auto at = [&](const View& v, int r) {
    return static_cast<char*>(v.data) + (r * v.stride + column) * kBytes;
  };
  const bool y_bf16 = f.y.type == Tensor::Type::bf16, base_bf16 = f.base.type == Tensor::Type::bf16,
             target_bf16 = f.target.type == Tensor::Type::bf16;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row + 8 * half;
    const bool inside = r < rows;
    char* y = at(f.y, r);
    const char *base = at(f.base, r), *target = at(f.target, r);
    const char* gate = static_cast<char*>(f.gate.data) + (r * f.gate.stride + column) * 2;
    // What y is combined with is loaded for several places at once: a store could change what is behind the
    // next load, so the compiler would wait for every one.
    constexpr int kBatch = kColumns / 16 < 8 ? kColumns / 16 : 8;
#pragma unroll
    for (int first = 0; first < kColumns / 8; first += 2 * kBatch) {
      float4 old[kBatch];
      uint2 one[kBatch], other[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int j = first + 2 * b;
        if (!inside || column + 8 * j >= columns) continue;
        if constexpr (kCombine == add || kCombine == gate_add) {
          old[b] = load4(reinterpret_cast<const float*>(y + 8 * j * kBytes));
        }
        if constexpr (kCombine == gate_add) one[b] = *reinterpret_cast<const uint2*>(gate + 16 * j);
        if constexpr (kCombine == lerp) {
          one[b] = *reinterpret_cast<const uint2*>(base + 16 * j);
          other[b] = *reinterpret_cast<const uint2*>(target + 16 * j);
        }
      }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int j = first + 2 * b;
        const float a0 = d[4 * j + 2 * half], a1 = d[4 * j + 2 * half + 1];
        const float b0 = d[4 * j + 4 + 2 * half], b1 = d[4 * j + 5 + 2 * half];
        const float got0 = __shfl_xor_sync(0xffffffffu, odd ? a0 : b0, 1);
        const float got1 = __shfl_xor_sync(0xffffffffu, odd ? a1 : b1, 1);
        const int c = column + 8 * j;
        if (!inside || c >= columns) continue;
        float4 p = scaled4(f, odd ? float4{got0, got1, b0, b1} : float4{a0, a1, got0, got1}, c);
        if constexpr (kWidth == Width::any) {
          combine4(f,
                   {activate(f.act, p.x), activate(f.act, p.y), activate(f.act, p.z), activate(f.act, p.w)},
                   r, c);
          continue;
        }
        p = {fast_activate<kAct>(p.x), fast_activate<kAct>(p.y), fast_activate<kAct>(p.z),
             fast_activate<kAct>(p.w)};
        if constexpr (kCombine == add) {
          p = {old[b].x + p.x, old[b].y + p.y, old[b].z + p.z, old[b].w + p.w};
        } else if constexpr (kCombine == gate_add) {
          const float4 g = widened(one[b], f.gate.type == Tensor::Type::bf16);
          p = {fmaf(g.x, p.x, old[b].x), fmaf(g.y, p.y, old[b].y), fmaf(g.z, p.z, old[b].z),
               fmaf(g.w, p.w, old[b].w)};
        } else if constexpr (kCombine == lerp) {
          const float4 from = widened(one[b], base_bf16), to = widened(other[b], target_bf16);
          p = {fmaf(to.x - from.x, p.x, from.x), fmaf(to.y - from.y, p.y, from.y),
               fmaf(to.z - from.z, p.z, from.z), fmaf(to.w - from.w, p.w, from.w)};
        }
        if constexpr (kWidth == Width::wide) {
          store4(reinterpret_cast<float*>(y + 8 * j * kBytes), p);
        } else {
          store_narrow(y + 8 * j * kBytes, y_bf16, p);
        }
      }
    }
  }
}

template <int kColumns>
__device__ __forceinline__ void write_tile(const Finish& f, int rows, int columns,
                                           const float (&d)[kColumns / 2], int row, int column) {
  using Act = Epilogue::Act;
  using Combine = Epilogue::Combine;
  const auto wide = [](const View& v) { return v.type == Tensor::Type::f32; };
  const auto go = [&]<Act kAct, Combine kCombine, Width kWidth>() {
    write_tile<kColumns, kAct, kCombine, kWidth>(f, rows, columns, d, row, column);
  };
  if (f.combine == Combine::store && wide(f.y)) {
    if (f.act == Act::none) return go.template operator()<Act::none, Combine::store, Width::wide>();
    if (f.act == Act::decay7) return go.template operator()<Act::decay7, Combine::store, Width::wide>();
    if (f.act == Act::exp_neg_exp)
      return go.template operator()<Act::exp_neg_exp, Combine::store, Width::wide>();
  } else if (f.combine == Combine::store) {
    if (f.act == Act::none) return go.template operator()<Act::none, Combine::store, Width::narrow>();
    if (f.act == Act::relu2) return go.template operator()<Act::relu2, Combine::store, Width::narrow>();
    if (f.act == Act::sigmoid) return go.template operator()<Act::sigmoid, Combine::store, Width::narrow>();
    if (f.act == Act::tanh) return go.template operator()<Act::tanh, Combine::store, Width::narrow>();
    if (f.act == Act::silu) return go.template operator()<Act::silu, Combine::store, Width::narrow>();
  } else if (f.combine == Combine::add && f.act == Act::none) {
    return go.template operator()<Act::none, Combine::add, Width::wide>();
  } else if (f.combine == Combine::gate_add && f.act == Act::none && !wide(f.gate)) {
    return go.template operator()<Act::none, Combine::gate_add, Width::wide>();
  } else if (f.combine == Combine::lerp && f.act == Act::sigmoid && !wide(f.y) && !wide(f.base) &&
             !wide(f.target)) {
    return go.template operator()<Act::sigmoid, Combine::lerp, Width::narrow>();
  }
  go.template operator()<Act::none, Combine::store, Width::any>();
}

// One row's part of a tile: columns `column` + 8 j + e of it are d[4 j + e].  Four lanes share a row.
template <int kColumns, bool kWhole>
__device__ __forceinline__ void score_row(const Problems& all, const float* d, const float* scales, int row,
                                          int rows, int columns, int tile, int tiles) {
  const int quad = threadIdx.x % 4, column = tile * kColumns + 2 * quad;
  // kWhole: the tile is full and unscaled, which is all but the last one of a vocabulary in 16 bits.
  const auto logit = [&](int j, int e) {
    if constexpr (kWhole) return d[4 * j + e];
    const int c = column + 8 * j + e;
    return c >= columns ? -INFINITY : scales == nullptr ? d[4 * j + e] : d[4 * j + e] * scales[c];
  };
  float top = -INFINITY;
#pragma unroll
  for (int j = 0; j < kColumns / 8; ++j) top = fmaxf(top, fmaxf(logit(j, 0), logit(j, 1)));
  top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
  top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
  const int target = row < rows ? all.targets[row] - column : -1;
  int best = 0x7fffffff;
  float sum = 0;
#pragma unroll
  for (int j = kColumns / 8 - 1; j >= 0; --j) {
#pragma unroll
    for (int e = 1; e >= 0; --e) {
      const float value = logit(j, e);
      if (kWhole || column + 8 * j + e < columns) sum += __expf(value - top);
      if (value == top) best = 8 * j + e;
      if (target == 8 * j + e) all.target_logits[row] = value;
    }
  }
  if (best != 0x7fffffff) best += column;
  best = min(best, __shfl_xor_sync(0xffffffffu, best, 1));
  best = min(best, __shfl_xor_sync(0xffffffffu, best, 2));
  sum += __shfl_xor_sync(0xffffffffu, sum, 1);
  sum += __shfl_xor_sync(0xffffffffu, sum, 2);
  if (quad == 0 && row < rows)
    all.partials[static_cast<std::size_t>(row) * tiles + tile] = {top, sum, best, 0};
}

// Each thread has parts of two rows.
template <int kColumns>
__device__ __forceinline__ void score_tile(const Problems& all, const Problem& p,
                                           const float (&d)[kColumns / 2], int row, int column) {
  const int rows = p.rows, columns = p.columns, tile = column / kColumns, tiles = p.tile_columns;
  const float* scales = p.finish.scales;
  if (scales == nullptr && column + kColumns <= columns) {
    score_row<kColumns, true>(all, d, nullptr, row, rows, columns, tile, tiles);
    score_row<kColumns, true>(all, d + 2, nullptr, row + 8, rows, columns, tile, tiles);
  } else {
    score_row<kColumns, false>(all, d, scales, row, rows, columns, tile, tiles);
    score_row<kColumns, false>(all, d + 2, scales, row + 8, rows, columns, tile, tiles);
  }
}

template <typename T, int kColumns, bool kHead>
__global__ __cluster_dims__(kPair<kColumns>)
    __launch_bounds__(kThreads, 1) void gemm90_kernel(const __grid_constant__ Problems all) {
#ifdef DECIBAN_HOPPER
  extern __shared__ unsigned char memory[];
  constexpr int kRing = kStages<kColumns>, kMates = kPair<kColumns>;
  const unsigned base = shared_address(memory);
  unsigned char* ring = memory + ((base + 1023) / 1024 * 1024 - base);
  auto* full = reinterpret_cast<std::uint64_t*>(ring + kRing * kStageBytes<kColumns>);
  std::uint64_t* empty = full + kRing;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kRing; ++i) {
      barrier_init(full + i, 1);
      barrier_init(empty + i, 2 * kMates);  // both blocks' warpgroups have read it
    }
    asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
  }
  cluster_sync();
  predecessors_done();
  const int warpgroup = threadIdx.x / 128, rank = blockIdx.x % kMates;
  const int first_pair = blockIdx.x / kMates, step = gridDim.x / kMates;
  int stage = 0, parity = 0;
  const auto advance = [&] {
    if (++stage == kRing) {
      stage = 0;
      parity ^= 1;
    }
  };
  if (warpgroup == 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    // The whole warp goes round together, so that it is whole again at the cluster's barrier.
    for (int pair = first_pair; threadIdx.x < 32 && pair < all.pairs; pair += step) {
      const Place at = place<kColumns>(all, pair, rank);
      const Problem& p = *at.problem;
      for (int k = 0; k < p.inputs; k += kTileInputs) {
        barrier_wait(empty + stage, parity ^ 1);
        if (threadIdx.x == 0) {
          constexpr int kPart = kColumns / kMates;
          unsigned char* to = ring + stage * kStageBytes<kColumns>;
          unsigned char* w = to + (kTileRows + rank * kPart) * kTileInputs * 2;
          barrier_expect(full + stage, kStageBytes<kColumns>);
          copy_tile(to, &p.x, k, at.row, full + stage);
          if constexpr (kMates == 1) {
            copy_tile(w, &p.w, k, at.column, full + stage);
          } else {
            copy_tile_to_pair(w, &p.w, k, at.column + rank * kPart, full + stage);
          }
        }
        __syncwarp();
        advance();
      }
    }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    const int half = warpgroup - 1;  // which 64 rows of the tile
    const int lane_row = half * 64 + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
    const auto done = [&](int ring_stage) {
      if (threadIdx.x % 128 < kMates) barrier_arrive(empty + ring_stage, threadIdx.x % 128);
    };
    for (int pair = first_pair; pair < all.pairs; pair += step) {
      const Place at = place<kColumns>(all, pair, rank);
      const Problem& p = *at.problem;
      float d[kColumns / 2];
      int before = -1;  // the stage whose products may still be running
      for (int k = 0; k < p.inputs; k += kTileInputs) {
        barrier_wait(full + stage, parity);
        const unsigned char* x = ring + stage * kStageBytes<kColumns> + half * 64 * kTileInputs * 2;
        const unsigned char* w = ring + stage * kStageBytes<kColumns> + kTileRows * kTileInputs * 2;
        const std::uint64_t a = operand(x), b = operand(w);
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
        for (int i = 0; i < kTileInputs / 16; ++i)
          Wgmma<T, kColumns>::run(d, a + 2 * i, b + 2 * i, k + i > 0);
        asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 1;" ::: "memory");
        if (before >= 0) done(before);
        before = stage;
        advance();
      }
      asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
      done(before);
      if constexpr (kHead) {
        score_tile<kColumns>(all, p, d, at.row + lane_row, at.column);
      } else {
        const Finish f = p.finish;  // into registers: behind the pointer each field would be read each time
        const int rows = p.rows, columns = p.columns;
        write_tile<kColumns>(f, rows, columns, d, at.row + lane_row, at.column);
      }
    }
  }
  __syncwarp();
  cluster_sync();  // the other block may still copy to this one or arrive here
#endif
}

PFN_cuTensorMapEncodeTiled_v12000 encoder() {
  static const auto function = [] {
    void* address = nullptr;
    cudaDriverEntryPointQueryResult found{};
    DECIBAN_CUDA(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &address, 12000,
                                                  cudaEnableDefault, &found));
    if (found != cudaDriverEntryPointSuccess) {
      throw std::runtime_error("CUDA: the driver has no cuTensorMapEncodeTiled: it is too old");
    }
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(address);
  }();
  return function;
}

// Tiles of `height` rows by 64 columns; what lies outside reads as zero.
CUtensorMap tile_map(Tensor::Type type, const void* data, std::size_t rows, std::size_t columns,
                     std::size_t stride, int height) {
  CUtensorMap map;
  const cuuint64_t sizes[2] = {columns, rows}, strides[1] = {stride * 2};
  const cuuint32_t box[2] = {kTileInputs, static_cast<cuuint32_t>(height)}, steps[2] = {1, 1};
  const CUresult result = encoder()(
      &map, type == Tensor::Type::bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
      2, const_cast<void*>(data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
      CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) throw std::runtime_error("CUDA: cuTensorMapEncodeTiled failed");
  return map;
}

template <int kColumns>
Problem problem(const NarrowProduct& product) {
  Problem p{};
  p.x = tile_map(product.type, product.x.data, product.x.rows, product.inputs, product.x.stride, kTileRows);
  p.w = tile_map(product.type, product.weights, product.outputs, product.inputs, product.weight_stride,
                 kColumns / kPair<kColumns>);
  p.finish = finish(product.epilogue, product.y, product.scales);
  p.rows = static_cast<int>(product.x.rows);
  p.columns = static_cast<int>(product.outputs);
  p.inputs = static_cast<int>(product.inputs);
  constexpr int kRows = kPair<kColumns> * kTileRows;
  p.pairs = (p.rows + kRows - 1) / kRows;
  p.tile_columns = (p.columns + kColumns - 1) / kColumns;
  return p;
}

template <typename T, int kColumns, bool kHead>
void launch(const Problems& all, int multiprocessors, cudaStream_t stream) {
  const auto kernel = gemm90_kernel<T, kColumns, kHead>;
  DECIBAN_CUDA(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes<kColumns>));
  constexpr int kMates = kPair<kColumns>;
  launch_after(kernel, kMates * std::min(all.pairs, multiprocessors / kMates), kThreads,
               kSharedBytes<kColumns>, stream, all);
}

template <int kColumns>
void run(std::span<const NarrowProduct> group, int multiprocessors, cudaStream_t stream) {
  Problems all{};
  for (const NarrowProduct& product : group) {
    Problem& p = all.at[all.count++] = problem<kColumns>(product);
    p.end = all.pairs += p.pairs * p.tile_columns;
  }
  if (group[0].type == Tensor::Type::bf16) {
    launch<bf16, kColumns, false>(all, multiprocessors, stream);
  } else {
    launch<f16, kColumns, false>(all, multiprocessors, stream);
  }
}

// Wide tiles read least; narrow ones give every multiprocessor something to do.
int tile_columns(const NarrowProduct& product, int multiprocessors) {
  const std::size_t tile_rows = (product.x.rows + kTileRows - 1) / kTileRows;
  for (const int columns : {256, 128}) {
    const std::size_t tiles = tile_rows * ((product.outputs + columns - 1) / columns);
    if (product.outputs * 4 >= static_cast<std::size_t>(columns) * 3 && tile_rows > 1 &&
        tiles >= static_cast<std::size_t>(multiprocessors)) {
      return columns;
    }
  }
  return tile_rows * ((product.outputs + 63) / 64) * 2 > static_cast<std::size_t>(multiprocessors) ? 64 : 32;
}

}  // namespace

bool has_gemm90(int major, int minor) { return major == 9 && minor == 0; }

void gemm90(std::span<const NarrowProduct> group, int multiprocessors, cudaStream_t stream) {
  for (const int columns : {256, 128, 64, 32}) {
    std::vector<NarrowProduct> same;
    for (const NarrowProduct& product : group) {
      if (tile_columns(product, multiprocessors) == columns) same.push_back(product);
    }
    for (std::size_t first = 0; first < same.size(); first += kMostProducts) {
      const std::span part =
          std::span(same).subspan(first, std::min<std::size_t>(kMostProducts, same.size() - first));
      switch (columns) {
        case 256:
          run<256>(part, multiprocessors, stream);
          break;
        case 128:
          run<128>(part, multiprocessors, stream);
          break;
        case 64:
          run<64>(part, multiprocessors, stream);
          break;
        default:
          run<32>(part, multiprocessors, stream);
      }
    }
  }
}

void head90(const NarrowProduct& product, const Token* targets, HeadPartial* partials, float* target_logits,
            int multiprocessors, cudaStream_t stream) {
  Problems all{};
  Problem& p = all.at[0] = problem<kHeadTile>(product);
  all.count = 1;
  p.end = all.pairs = p.pairs * p.tile_columns;
  all.targets = targets;
  all.partials = partials;
  all.target_logits = target_logits;
  if (product.type == Tensor::Type::bf16) {
    launch<bf16, kHeadTile, true>(all, multiprocessors, stream);
  } else {
    launch<f16, kHeadTile, true>(all, multiprocessors, stream);
  }
}

}  // namespace deciban::cuda
