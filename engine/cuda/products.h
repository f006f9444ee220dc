// Matrix products other than Hopper's own kernels: few rows (reading weights is all), exact f32, and
// cuBLASLt.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <map>
#include <span>

#include "engine/cuda/gemm90.h"
#include "engine/cuda/parameters.h"
#include "engine/ops.h"

namespace deciban::cuda {

constexpr std::size_t kFewRows = 8;

// One product of a group of few rows: weights in any format but e4m3, x in any type; weights in groups by one
// row of bf16.
struct FewProduct {
  const CudaWeight* w = nullptr;
  Tensor x, y;
  Epilogue epilogue;
};
// At most kFewRows rows each, all products with as many; either all or none have weights in groups.  Weights
// are read once.
void products_few(std::span<const FewProduct> group, cudaStream_t stream);

// y = epilogue(W x) in f32 with true f32 multiply-adds, inputs summed in ascending order.
void product_f32(const float* weights, std::size_t outputs, std::size_t inputs, std::size_t weight_stride,
                 const float* scales, const Tensor& x, const Tensor& y, const Epilogue& epilogue,
                 cudaStream_t stream);

// A weight's numbers as f32, or (i8) as the bf16 that hold them exactly, or (in groups) rounded to bf16;
// [outputs][stride of the weight's own elements, rounded up to 8].  Scales of outputs are not applied, those
// of groups are.
void widen_f32(const CudaWeight& w, float* out, std::size_t out_stride, cudaStream_t stream);
void widen_bf16(const CudaWeight& w, void* out, std::size_t out_stride, cudaStream_t stream);

// y = epilogue of products that lie finished in f32 `p`.
void apply_epilogue(const Tensor& p, const float* scales, const Tensor& y, const Epilogue& epilogue,
                    cudaStream_t stream);

// Log-sum-exp over finished logits of the vocabulary's columns from tile * kLogitTileColumns on, a partial a
// row and tile (partials[row][tile of tiles]).
constexpr std::size_t kLogitTileColumns = 4096;
void score_logits(const Tensor& logits, const float* scales, const Token* targets, HeadPartial* partials,
                  std::size_t tile, std::size_t tiles, float* target_logits, cudaStream_t stream);
// All partials of each row to its score; targets may be null: then the best token is the target.
void combine_scores(const HeadPartial* partials, std::size_t rows, std::size_t tiles, const Token* targets,
                    const float* target_logits, TokenScore* scores, cudaStream_t stream);

// cuBLASLt with the algorithms it was told once a shape.
class BlasLt {
 public:
  explicit BlasLt(bool deterministic);
  ~BlasLt();
  BlasLt(const BlasLt&) = delete;
  BlasLt& operator=(const BlasLt&) = delete;
  // p = x W^T into f32.
  void product(const NarrowProduct& product, const Tensor& p, void* workspace, std::size_t workspace_bytes,
               cudaStream_t stream);
  static constexpr std::size_t kWorkspace = std::size_t{32} << 20;

 private:
  struct Key {
    std::size_t outputs, inputs, rows;
    Operands type;
    auto operator<=>(const Key&) const = default;
  };
  cublasLtHandle_t handle_ = nullptr;
  bool deterministic_;
  std::map<Key, cublasLtMatmulAlgo_t> algorithms_;
};

}  // namespace deciban::cuda
