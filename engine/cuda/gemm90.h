// Matrix products of narrow operands on Hopper: own kernels with the epilogue, or the head's log-sum-exp,
// fused.
#pragma once

#include <cuda_runtime.h>

#include <span>

#include "engine/cuda/parameters.h"
#include "engine/ops.h"

namespace deciban::cuda {

// What both operands of a product are.
enum class Operands { bf16, f16, e4m3 };

// One product as the kernels take it: rows of `inputs` elements of `type`.  x of e4m3 is a tensor in name
// only: its elements are bytes, its stride (a multiple of 16) counts them.
struct NarrowProduct {
  Operands type = Operands::bf16;
  const void* weights = nullptr;  // [outputs][weight_stride]
  std::size_t outputs = 0, inputs = 0, weight_stride = 0;
  const float* scales = nullptr;    // of the outputs, or null
  const float* x_scales = nullptr;  // e4m3: of the rows of x
  Tensor x;
  Tensor y;
  Epilogue epilogue;
};

// Whether the device and the build have these kernels.
bool has_gemm90(int major, int minor);

// Independent products of one type, computed together; any shapes.  Every element is summed over the inputs
// in one fixed order whatever the rows.
void gemm90(std::span<const NarrowProduct> group, int multiprocessors, cudaStream_t stream);

// The same for products of few inputs, where reading and writing takes longer than the arithmetic; their
// epilogues must be ones that has_own_code() knows.  gemm90() passes on to it what has at most kShortInputs
// inputs, a quarter of the outputs at most, and kShortRows rows or more.
constexpr std::size_t kShortInputs = 512, kShortRows = 2048;
void gemm90_short(std::span<const NarrowProduct> group, int multiprocessors, cudaStream_t stream);

// One row's log-sum-exp over a tile of columns.
struct HeadPartial {
  float max, sum;  // of exp(logit - max)
  int best;        // the lowest column with the maximum
  int unused;
};
constexpr std::size_t kHeadTile = 256;  // columns of a partial

// partials[row][tile] and the targets' logits for all rows of x; nothing of the product is stored.
void head90(const NarrowProduct& product, const Token* targets, HeadPartial* partials, float* target_logits,
            int multiprocessors, cudaStream_t stream);

}  // namespace deciban::cuda
