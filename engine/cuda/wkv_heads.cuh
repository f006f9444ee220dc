// What the two kernels of the matrix-valued recurrences share: their arguments.
#pragma once

#include "engine/cuda/epilogue.cuh"
#include "engine/cuda/launch.h"

namespace deciban::cuda {

struct HeadsArgs {
  const void *r, *k, *v, *a, *g;  // the inner type; a: RWKV-7 alone; g may be null
  const float* w;                 // the decay of each token, or null: `decay` then
  std::size_t r_stride, k_stride, v_stride, a_stride, g_stride, w_stride;
  const float *decay, *bonus;    // RWKV-5: w and u
  const float *k_k, *k_a, *r_k;  // RWKV-7
  const float *group_weight, *group_bias;
  float group_eps;
  const int4* pieces;
  int heads, size;
  float* state;
  std::size_t slot_stride;
  void* out;
  std::size_t out_stride;
};

// Heads of 64 channels, in registers (wkv_heads64.cu); any size (wkv_heads.cu).  `version`: 5 (also 6) or 7.
void wkv_heads64(int version, const HeadsArgs& args, Tensor::Type inner, Tensor::Type out, std::size_t pieces,
                 cudaStream_t stream);

}  // namespace deciban::cuda
