// Arguments of the kernels that put keys and values into the cache and make queries ready for products.
#pragma once

#include "engine/cuda/attention.h"

namespace deciban::cuda {

struct HeadNorm {
  const float* weight;  // null: none
  float eps;
};

struct AppendArgs {
  KvView kv;
  const void *q, *k, *v;
  int rows;
  std::size_t q_stride, kv_stride;
  int heads, kv_heads;
  int rotary;
  bool interleaved;
  const float* frequencies;
  float magnitude, scale;
  HeadNorm q_norm, k_norm;
  void* q_out;    // null: who reads queries makes them ready
  float2* turns;  // [rows][rotary / 2], cosine and sine of each row's angles, for those readers; or null
  int* counter;   // made zero; or null
};

// attention_append.cu, for what appends_pieces().
void append_pieces(const AppendArgs& args, Tensor::Type x_type, cudaStream_t stream);

}  // namespace deciban::cuda
