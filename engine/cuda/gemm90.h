// Matrix products of 16-bit operands on Hopper: own kernels with the epilogue, or the head's log-sum-exp,
// fused.
#pragma once

#include <cuda_runtime.h>

#include <span>

#include "engine/cuda/parameters.h"
#include "engine/ops.h"

namespace deciban::cuda {

// Operands of one product as the kernels take them: both in `type` (bf16 or f16), rows of `inputs` elements.
struct NarrowProduct {
  Tensor::Type type = Tensor::Type::bf16;
  const void* weights = nullptr;  // [outputs][weight_stride]
  std::size_t outputs = 0, inputs = 0, weight_stride = 0;
  const float* scales = nullptr;  // of the outputs, or null
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
