// Hopper's products of few inputs, as the second halves of LoRAs: what is read and written takes longer than
// the arithmetic, so small blocks share a multiprocessor and one loads and multiplies while another writes.
#include <algorithm>

#include "engine/cuda/check.h"
#include "engine/cuda/gemm90.h"
#include "engine/cuda/launch_after.cuh"
#include "engine/cuda/tile_epilogue.cuh"
#include "engine/cuda/tma.cuh"
#include "engine/cuda/wgmma.cuh"

namespace deciban::cuda {
namespace {

// A block is one warpgroup; its tiles come one after the other through a ring of two steps of 64 inputs.
constexpr int kTileRows = 64, kTileColumns = 64, kThreads = 128, kRing = 2, kBlocks = 4;
constexpr int kMostProducts = 8;
constexpr int kStageBytes = (kTileRows + kTileColumns) * kTileInputs * 2;
constexpr int kSharedBytes = kRing * kStageBytes + 1024 + 64;

struct ShortProblem {
  CUtensorMap x, w;
  Finish finish;
  int rows, columns, inputs, tile_columns;
  int end;  // tiles of this problem lie before `end` in the common numbering
};
struct ShortProblems {
  ShortProblem at[kMostProducts];
  int tiles;
};

// A step of a tile: inputs [k, k + 64) of it.
struct Step {
  const ShortProblem* problem = nullptr;
  int tile, row, column, k = 0;
};
[[maybe_unused]] __device__ inline void begin_tile(const ShortProblems& all, Step& s, int tile) {
  s.tile = tile;
  s.k = 0;
  if (tile >= all.tiles) return;
  int i = 0, first = 0;
  while (tile >= all.at[i].end) first = all.at[i++].end;
  s.problem = &all.at[i];
  s.row = (tile - first) / s.problem->tile_columns * kTileRows;
  s.column = (tile - first) % s.problem->tile_columns * kTileColumns;
}

template <typename T>
__global__ __launch_bounds__(kThreads, kBlocks) void short_kernel(const __grid_constant__ ShortProblems all) {
#ifdef DECIBAN_HOPPER
  extern __shared__ unsigned char memory[];
  const unsigned base = shared_address(memory);
  unsigned char* ring = memory + ((base + 1023) / 1024 * 1024 - base);
  auto* full = reinterpret_cast<std::uint64_t*>(ring + kRing * kStageBytes);
  if (threadIdx.x == 0) {
    for (int i = 0; i < kRing; ++i) barrier_init(full + i, 1);
    asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
  }
  __syncthreads();
  predecessors_done();
  const int stride = gridDim.x;
  // The first thread is ahead by the ring's length: it has `next` loaded when a step's memory is free.
  Step next;
  begin_tile(all, next, blockIdx.x);
  const auto load_next = [&](int stage) {
    if (next.tile >= all.tiles) return;
    unsigned char* to = ring + stage * kStageBytes;
    barrier_expect(full + stage, kStageBytes);
    copy_tile(to, &next.problem->x, next.k, next.row, full + stage);
    copy_tile(to + kTileRows * kTileInputs * 2, &next.problem->w, next.k, next.column, full + stage);
    next.k += kTileInputs;
    if (next.k >= next.problem->inputs) begin_tile(all, next, next.tile + stride);
  };
  if (threadIdx.x == 0) {
    for (int i = 0; i < kRing; ++i) load_next(i);
  }
  const int lane_row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
  int stage = 0, parity = 0;
  Step now;
  for (begin_tile(all, now, blockIdx.x); now.tile < all.tiles; begin_tile(all, now, now.tile + stride)) {
    const int inputs = now.problem->inputs;
    float d[kTileColumns / 2];
    for (int k = 0; k < inputs; k += kTileInputs) {
      barrier_wait(full + stage, parity);
      const unsigned char* x = ring + stage * kStageBytes;
      const std::uint64_t a = operand(x), b = operand(x + kTileRows * kTileInputs * 2);
      asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
      for (int i = 0; i < kTileInputs / 16; ++i)
        Wgmma<T, kTileColumns>::run(d, a + 2 * i, b + 2 * i, k + i > 0);
      asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
      __syncthreads();  // all four warps have read the step
      if (threadIdx.x == 0) load_next(stage);
      if (++stage == kRing) {
        stage = 0;
        parity ^= 1;
      }
    }
    const Finish f = now.problem->finish;
    write_tile<kTileColumns, false>(f, now.problem->rows, now.problem->columns, d, now.row + lane_row,
                                    now.column);
  }
#endif
}

template <typename T>
void launch(const ShortProblems& all, int multiprocessors, cudaStream_t stream) {
  const auto kernel = short_kernel<T>;
  DECIBAN_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
  launch_after(kernel, static_cast<unsigned>(std::min(all.tiles, kBlocks * multiprocessors)), kThreads,
               kSharedBytes, stream, all);
}

}  // namespace

void gemm90_short(std::span<const NarrowProduct> group, int multiprocessors, cudaStream_t stream) {
  for (std::size_t first = 0; first < group.size(); first += kMostProducts) {
    const std::span part = group.subspan(first, std::min<std::size_t>(kMostProducts, group.size() - first));
    ShortProblems all{};
    for (std::size_t i = 0; i < part.size(); ++i) {
      const NarrowProduct& product = part[i];
      ShortProblem& p = all.at[i];
      p.x =
          tile_map(product.type, product.x.data, product.x.rows, product.inputs, product.x.stride, kTileRows);
      p.w = tile_map(product.type, product.weights, product.outputs, product.inputs, product.weight_stride,
                     kTileColumns);
      p.finish = finish(product.epilogue, product.y, product.scales);
      p.rows = static_cast<int>(product.x.rows);
      p.columns = static_cast<int>(product.outputs);
      p.inputs = static_cast<int>(product.inputs);
      p.tile_columns = (p.columns + kTileColumns - 1) / kTileColumns;
      p.end = all.tiles += (p.rows + kTileRows - 1) / kTileRows * p.tile_columns;
    }
    if (part[0].type == Operands::bf16) {
      launch<bf16>(all, multiprocessors, stream);
    } else {
      launch<f16>(all, multiprocessors, stream);
    }
  }
}

}  // namespace deciban::cuda
