#include <algorithm>
#include <vector>

#include "engine/cuda/check.h"
#include "engine/cuda/gemm90.h"
#include "engine/cuda/launch_after.cuh"
#include "engine/cuda/tile_epilogue.cuh"
#include "engine/cuda/tma.cuh"
#include "engine/cuda/wgmma.cuh"

namespace deciban::cuda {
namespace {

// A block: one thread that has tiles copied into a ring in shared memory, and two warpgroups that multiply,
// 64 rows each.  Blocks stay and take one tile after the other.
constexpr int kTileRows = 128, kThreads = 384;
constexpr int kMostProducts = 8;
// Pairs of tiles in a column of neighbours, whose operands stay in the L2 cache.
[[maybe_unused]] constexpr int kGroupRows = 8;

// Narrow tiles are for products that have few: these go without a mate.
template <int kColumns>
constexpr int kPair = kColumns >= 128 ? 2 : 1;
template <int kColumns>
constexpr int kStages = kColumns == 256   ? 4
                        : kColumns == 128 ? 6
                                          : 8;
template <int kColumns>
constexpr int kStageBytes = (kTileRows + kColumns) * kTileBytes;
template <int kColumns>
constexpr int kSharedBytes = kStages<kColumns>* kStageBytes<kColumns> + 1024 + 256;

struct Problem {
  CUtensorMap x, w;
  Finish finish;
  const float* x_scales;  // e4m3: one a row
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

// One row's part of a tile: columns `column` + 8 j + e of it are d[4 j + e].  Four lanes share a row.
template <int kColumns, bool kWhole, bool kScaled>
__device__ __forceinline__ void score_row(const Problems& all, const float* d, const float* scales, int row,
                                          int rows, int columns, int tile, int tiles) {
  const int quad = threadIdx.x % 4, column = tile * kColumns + 2 * quad;
  // kWhole: the tile is full, as all but the last one of a vocabulary are, and unscaled unless kScaled.
  const auto logit = [&](int j, int e) {
    const int c = column + 8 * j + e;
    if constexpr (kWhole) return kScaled ? d[4 * j + e] * __ldg(scales + c) : d[4 * j + e];
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
template <int kColumns, bool kScaled>
__device__ __forceinline__ void score_tile(const Problems& all, const Problem& p,
                                           const float (&d)[kColumns / 2], int row, int column) {
  const int rows = p.rows, columns = p.columns, tile = column / kColumns, tiles = p.tile_columns;
  const float* scales = p.finish.scales;
  const auto both = [&]<bool kWhole>() {
    score_row<kColumns, kWhole, kScaled>(all, d, scales, row, rows, columns, tile, tiles);
    score_row<kColumns, kWhole, kScaled>(all, d + 2, scales, row + 8, rows, columns, tile, tiles);
  };
  if (column + kColumns <= columns && (kScaled || scales == nullptr)) {
    both.template operator()<true>();
  } else {
    both.template operator()<false>();
  }
}

// The factors of the thread's two rows; those of the outputs are the epilogue's.
template <int kColumns>
__device__ __forceinline__ void scale_rows(const Problem& p, float (&d)[kColumns / 2], int row) {
  const float upper = row < p.rows ? p.x_scales[row] : 0.0f,
              lower = row + 8 < p.rows ? p.x_scales[row + 8] : 0.0f;
#pragma unroll
  for (int i = 0; i < kColumns / 2; i += 4) {
    d[i] *= upper;
    d[i + 1] *= upper;
    d[i + 2] *= lower;
    d[i + 3] *= lower;
  }
}

// Older architectures, for which the kernel is empty, do not know the word.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define DECIBAN_CLUSTER(blocks)
#else
#define DECIBAN_CLUSTER(blocks) __cluster_dims__(blocks)
#endif

template <typename T, int kColumns, bool kHead>
__global__ DECIBAN_CLUSTER(kPair<kColumns>)
    __launch_bounds__(kThreads, 1) void gemm90_kernel(const __grid_constant__ Problems all) {
#ifdef DECIBAN_HOPPER
  extern __shared__ unsigned char memory[];
  constexpr int kRing = kStages<kColumns>, kMates = kPair<kColumns>, kStep = kTileBytes / sizeof(T);
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
      for (int k = 0; k < p.inputs; k += kStep) {
        barrier_wait(empty + stage, parity ^ 1);
        if (threadIdx.x == 0) {
          constexpr int kPart = kColumns / kMates;
          unsigned char* to = ring + stage * kStageBytes<kColumns>;
          unsigned char* w = to + (kTileRows + rank * kPart) * kTileBytes;
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
      for (int k = 0; k < p.inputs; k += kStep) {
        barrier_wait(full + stage, parity);
        const unsigned char* x = ring + stage * kStageBytes<kColumns> + half * 64 * kTileBytes;
        const unsigned char* w = ring + stage * kStageBytes<kColumns> + kTileRows * kTileBytes;
        const std::uint64_t a = operand(x), b = operand(w);
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
        for (int i = 0; i < kTileBytes / 32; ++i) Wgmma<T, kColumns>::run(d, a + 2 * i, b + 2 * i, k + i > 0);
        asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 1;" ::: "memory");
        if (before >= 0) done(before);
        before = stage;
        advance();
      }
      asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
      done(before);
      if constexpr (std::is_same_v<T, f8>) scale_rows<kColumns>(p, d, at.row + lane_row);
      if constexpr (kHead) {
        score_tile<kColumns, std::is_same_v<T, f8>>(all, p, d, at.row + lane_row, at.column);
      } else {
        const Finish f = p.finish;  // into registers: behind the pointer each field would be read each time
        const int rows = p.rows, columns = p.columns;
        // The widest tiles leave no registers for epilogues without code of their own: tile_columns().
        write_tile<kColumns, (kColumns < 256)>(f, rows, columns, d, at.row + lane_row, at.column);
      }
    }
  }
  __syncwarp();
  cluster_sync();  // the other block may still copy to this one or arrive here
#endif
}

template <int kColumns>
Problem problem(const NarrowProduct& product) {
  Problem p{};
  p.x = tile_map(product.type, product.x.data, product.x.rows, product.inputs, product.x.stride, kTileRows);
  p.w = tile_map(product.type, product.weights, product.outputs, product.inputs, product.weight_stride,
                 kColumns / kPair<kColumns>);
  p.finish = finish(product.epilogue, product.y, product.scales);
  p.x_scales = product.x_scales;
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

template <int kColumns, bool kHead>
void launch_as(Operands type, const Problems& all, int multiprocessors, cudaStream_t stream) {
  switch (type) {
    case Operands::bf16:
      return launch<bf16, kColumns, kHead>(all, multiprocessors, stream);
    case Operands::f16:
      return launch<f16, kColumns, kHead>(all, multiprocessors, stream);
    case Operands::e4m3:
      return launch<f8, kColumns, kHead>(all, multiprocessors, stream);
  }
}

template <int kColumns>
void run(std::span<const NarrowProduct> group, int multiprocessors, cudaStream_t stream) {
  Problems all{};
  for (const NarrowProduct& product : group) {
    Problem& p = all.at[all.count++] = problem<kColumns>(product);
    p.end = all.pairs += p.pairs * p.tile_columns;
  }
  launch_as<kColumns, false>(group[0].type, all, multiprocessors, stream);
}

std::size_t tiles(const NarrowProduct& product, std::size_t columns) {
  return (product.x.rows + kTileRows - 1) / kTileRows * ((product.outputs + columns - 1) / columns);
}

// Wide tiles read least; narrow ones give every multiprocessor something to do.  Products of few outputs
// share a launch, so that what counts is how many tiles they have together.
constexpr std::size_t kFewOutputs = 192;
int tile_columns(const NarrowProduct& product, std::span<const NarrowProduct> group, int multiprocessors) {
  const auto enough = static_cast<std::size_t>(multiprocessors);
  const bool own_code = has_own_code(finish(product.epilogue, product.y, product.scales));
  for (const int columns : {256, 128}) {
    if (columns == 256 && !own_code) continue;
    if (product.outputs * 4 >= static_cast<std::size_t>(columns) * 3 && product.x.rows > kTileRows &&
        product.outputs > kFewOutputs && tiles(product, columns) >= enough) {
      return columns;
    }
  }
  if (product.outputs > kFewOutputs) return tiles(product, 64) * 2 > enough ? 64 : 32;
  std::size_t together = 0;
  for (const NarrowProduct& other : group) {
    if (other.outputs <= kFewOutputs) together += tiles(other, 64);
  }
  return together > enough ? 64 : 32;
}

}  // namespace

bool has_gemm90(int major, int minor) { return major == 9 && minor == 0; }

void gemm90(std::span<const NarrowProduct> all, int multiprocessors, cudaStream_t stream) {
  std::vector<NarrowProduct> group, brief;
  for (const NarrowProduct& product : all) {
    const bool few_inputs = product.inputs <= kShortInputs && product.inputs * 4 <= product.outputs;
    const bool own_code = has_own_code(finish(product.epilogue, product.y, product.scales));
    const bool wide = product.type != Operands::e4m3;  // of a byte there is a kernel less
    (few_inputs && own_code && wide && product.x.rows >= kShortRows ? brief : group).push_back(product);
  }
  gemm90_short(brief, multiprocessors, stream);
  for (const int columns : {256, 128, 64, 32}) {
    std::vector<NarrowProduct> same;
    for (const NarrowProduct& product : group) {
      if (tile_columns(product, group, multiprocessors) == columns) same.push_back(product);
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
  launch_as<kHeadTile, true>(product.type, all, multiprocessors, stream);
}

}  // namespace deciban::cuda
