// Log-sum-exp of finished logits by tiles, and the last step that joins the tiles of a row.
#include "engine/cuda/check.h"
#include "engine/cuda/epilogue.cuh"
#include "engine/cuda/launch_after.cuh"
#include "engine/cuda/products.h"

namespace deciban::cuda {
namespace {

constexpr int kThreads = 256;

__device__ HeadPartial joined(HeadPartial a, HeadPartial b) {
  const float top = fmaxf(a.max, b.max);
  // A side that is all below the other adds nothing; -inf on both sides is an empty tile.
  const float sum =
      (a.max == top ? a.sum : a.sum * expf(a.max - top)) + (b.max == top ? b.sum : b.sum * expf(b.max - top));
  const int best = a.max == b.max ? min(a.best, b.best) : a.max == top ? a.best : b.best;
  return {top, sum, best, 0};
}
__device__ HeadPartial joined_in_warp(HeadPartial p) {
  for (int lane = 16; lane > 0; lane /= 2) {
    p = joined(p, {__shfl_xor_sync(0xffffffffu, p.max, lane), __shfl_xor_sync(0xffffffffu, p.sum, lane),
                   __shfl_xor_sync(0xffffffffu, p.best, lane), 0});
  }
  return p;
}
__device__ HeadPartial nothing() { return {-INFINITY, 0, 0x7fffffff, 0}; }

// A block a row and a tile.
__global__ __launch_bounds__(kThreads) void logits_kernel(const float* logits, std::size_t stride,
                                                          int columns, const float* scales, int first,
                                                          const Token* targets, HeadPartial* partials,
                                                          std::size_t tiles, float* target_logits) {
  __shared__ HeadPartial warps[kThreads / 32];
  predecessors_done();
  constexpr int kTile = kLogitTileColumns;
  const float* row = logits + blockIdx.x * stride + static_cast<std::size_t>(blockIdx.y) * kTile;
  columns = min(kTile, columns - static_cast<int>(blockIdx.y) * kTile);
  first += blockIdx.y * kTile;
  const auto logit = [&](int c) { return scales == nullptr ? row[c] : row[c] * scales[first + c]; };
  HeadPartial p = nothing();
  for (int c = threadIdx.x; c < columns; c += kThreads) {
    const float value = logit(c);
    if (value > p.max) {
      p.max = value;
      p.best = first + c;
    }
  }
  for (int c = threadIdx.x; c < columns; c += kThreads) p.sum += expf(logit(c) - p.max);
  if (p.max == -INFINITY && p.sum == p.sum) p.sum = 0;
  p = joined_in_warp(p);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = p;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 1; w < kThreads / 32; ++w) p = joined(p, warps[w]);
  partials[blockIdx.x * tiles + blockIdx.y] = p;
  if (targets != nullptr) {
    const int target = targets[blockIdx.x] - first;
    if (target >= 0 && target < columns) target_logits[blockIdx.x] = logit(target);
  }
}

// A warp a row.
__global__ void combine_kernel(const HeadPartial* partials, int rows, int tiles, const Token* targets,
                               const float* target_logits, TokenScore* scores) {
  predecessors_done();
  const int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  HeadPartial p = nothing();
  for (int t = threadIdx.x % 32; t < tiles; t += 32) {
    p = joined(p, partials[static_cast<std::size_t>(row) * tiles + t]);
  }
  p = joined_in_warp(p);
  if (threadIdx.x % 32 != 0) return;
  const float log_sum = logf(p.sum);
  const float best = -log_sum;
  scores[row] = {targets == nullptr ? best : target_logits[row] - p.max - log_sum, best, p.best};
}

}  // namespace

void score_logits(const Tensor& logits, const float* scales, const Token* targets, HeadPartial* partials,
                  std::size_t tile, std::size_t tiles, float* target_logits, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(logits.rows),
                  static_cast<unsigned>((logits.columns + kLogitTileColumns - 1) / kLogitTileColumns));
  launch_after(logits_kernel, grid, kThreads, 0, stream, logits.f32(), logits.stride,
               static_cast<int>(logits.columns), scales, static_cast<int>(tile * kLogitTileColumns), targets,
               partials + tile, tiles, target_logits);
}

void combine_scores(const HeadPartial* partials, std::size_t rows, std::size_t tiles, const Token* targets,
                    const float* target_logits, TokenScore* scores, cudaStream_t stream) {
  constexpr int kRowsABlock = 4;
  launch_after(combine_kernel, static_cast<unsigned>((rows + kRowsABlock - 1) / kRowsABlock),
               32 * kRowsABlock, 0, stream, partials, static_cast<int>(rows), static_cast<int>(tiles),
               targets, target_logits, scores);
}

}  // namespace deciban::cuda
