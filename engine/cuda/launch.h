// The kernels' host sides, one function each: shapes checked by the caller (cuda_ops.cc), all asynchronous on
// `stream`.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "engine/cuda/parameters.h"
#include "engine/ops.h"

namespace deciban::cuda {

// A chunk's layout on the device.
struct DeviceLayout {
  std::size_t rows = 0, pieces = 0;
  bool singles = false;         // every piece is one row
  const int* starts = nullptr;  // [rows]: the slot of the piece that begins in this row, else -1
  const int4* table = nullptr;  // [pieces]: first row, rows, slot, 0; the longest first
};

// rows.cu
void embed_rows(const CudaTable& table, const Token* tokens, const Norm* norm, const Tensor& x,
                cudaStream_t stream);
void norm_mix(const Tensor& x, const Norm& norm, const DeviceLayout& layout, StateView shift,
              std::span<const Vector* const> mixes, std::span<const Tensor> outs, const Tensor* h,
              const Tensor* h_prev, cudaStream_t stream);

// Rows of one type to another, padding included.
void cast(const Tensor& from, const Tensor& to, cudaStream_t stream);

// row_norms.cu: out[i] = norm(x[rows[i]]) of any kind.
void norm_rows(const Tensor& x, const std::size_t* rows, const Norm& norm, const Tensor& out,
               cudaStream_t stream);

// wkv4.cu, wkv_heads.cu
void wkv4(const Tensor& r, const Tensor& k, const Tensor& v, const Vector& w, const Vector& u,
          const DeviceLayout& layout, StateView state, const Tensor& out, cudaStream_t stream);
void wkv5(const Wkv5Params& params, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
          const Tensor& g, const DeviceLayout& layout, StateView state, const Tensor& out,
          cudaStream_t stream);
void wkv7(const Wkv7Params& params, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
          const Tensor& a, const Tensor& g, const DeviceLayout& layout, StateView state, const Tensor& out,
          cudaStream_t stream);

}  // namespace deciban::cuda
