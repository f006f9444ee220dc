// Norms of rows: layer norms and root-mean-square norms, with a bias or without.
#include <algorithm>
#include <stdexcept>

#include "engine/cuda/epilogue.cuh"
#include "engine/cuda/launch.h"
#include "engine/cuda/launch_after.cuh"

namespace deciban::cuda {
namespace {

struct NormArgs {
  const float* weight;
  const float* bias;  // null: none
  float eps;
  bool centred;  // a layer norm
};

// Sum over the block, the same in every thread.  `shared` holds a float a warp.
__device__ float block_sum(float x, float* shared) {
  x = warp_sum(x);
  const unsigned warps = blockDim.x / 32;
  if (warps == 1) return x;
  __syncthreads();  // the last use of `shared` is over
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
  __syncthreads();
  float total = 0;
  for (unsigned w = 0; w < warps; ++w) total += shared[w];
  return total;
}

// A block a row; thread i owns four columns from 4 (i + j blockDim) on, j < kQuads, in registers.
template <typename T, int kQuads>
__global__ void norm_rows_kernel(const float* x, std::size_t stride, int columns, const std::size_t* rows,
                                 NormArgs norm, T* out, std::size_t out_stride) {
  __shared__ float shared[32];
  predecessors_done();
  const float* row = x + rows[blockIdx.x] * stride;
  float4 h[kQuads];
  float total = 0;
  const auto column = [&](int j) { return static_cast<int>(4 * (threadIdx.x + j * blockDim.x)); };
#pragma unroll
  for (int j = 0; j < kQuads; ++j) {
    const int c = column(j);
    h[j] = c < columns ? load4(row + c) : float4{0, 0, 0, 0};
    if (c + 1 >= columns) h[j].y = 0;
    if (c + 2 >= columns) h[j].z = 0;
    if (c + 3 >= columns) h[j].w = 0;
    total += (h[j].x + h[j].y) + (h[j].z + h[j].w);
  }
  float squares = 0;
  const float mean = norm.centred ? block_sum(total, shared) / columns : 0.0f;
#pragma unroll
  for (int j = 0; j < kQuads; ++j) {
    const int c = column(j);
    if (c < columns) h[j].x -= mean;
    if (c + 1 < columns) h[j].y -= mean;
    if (c + 2 < columns) h[j].z -= mean;
    if (c + 3 < columns) h[j].w -= mean;
    squares += (h[j].x * h[j].x + h[j].y * h[j].y) + (h[j].z * h[j].z + h[j].w * h[j].w);
  }
  const float inverse = 1.0f / sqrtf(block_sum(squares, shared) / columns + norm.eps);
#pragma unroll
  for (int j = 0; j < kQuads; ++j) {
    const int c = column(j);
    if (c >= columns) continue;
    const float4 w = load4(norm.weight + c),
                 b = norm.bias == nullptr ? float4{0, 0, 0, 0} : load4(norm.bias + c);
    store4(out + blockIdx.x * out_stride + c,
           {fmaf(h[j].x * inverse, w.x, b.x), fmaf(h[j].y * inverse, w.y, b.y),
            fmaf(h[j].z * inverse, w.z, b.z), fmaf(h[j].w * inverse, w.w, b.w)});
  }
}

template <typename T, int kQuads>
void launch(const Tensor& x, const std::size_t* rows, const NormArgs& norm, const Tensor& out,
            cudaStream_t stream) {
  const auto columns = static_cast<int>(x.columns);
  const int threads = std::max(32, ((columns + 4 * kQuads - 1) / (4 * kQuads) + 31) / 32 * 32);
  launch_after(norm_rows_kernel<T, kQuads>, static_cast<unsigned>(out.rows), static_cast<unsigned>(threads),
               0, stream, x.f32(), x.stride, columns, rows, norm, static_cast<T*>(out.data), out.stride);
}

}  // namespace

void norm_rows(const Tensor& x, const std::size_t* rows, const Norm& norm, const Tensor& out,
               cudaStream_t stream) {
  const NormArgs args{norm.weight->data(), norm.bias == nullptr ? nullptr : norm.bias->data(), norm.eps,
                      norm.kind == Norm::Kind::layer};
  if (x.columns > 65536) throw std::logic_error("norm_rows: rows of more than 65536 columns");
  with_type(out.type, [&]<typename T>() {
    if (x.columns <= 1024) return launch<T, 1>(x, rows, args, out, stream);
    if (x.columns <= 4096) return launch<T, 2>(x, rows, args, out, stream);
    if (x.columns <= 8192) return launch<T, 4>(x, rows, args, out, stream);
    launch<T, 16>(x, rows, args, out, stream);
  });
}

}  // namespace deciban::cuda
