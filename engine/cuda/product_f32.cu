// Products with true f32 multiply-adds, the reference path: 64 x 64 tiles, 4 x 4 sums a thread, inputs in
// ascending order.  And the conversions and epilogues that other paths share.
#include "engine/cuda/check.h"
#include "engine/cuda/epilogue.cuh"
#include "engine/cuda/packed.h"
#include "engine/cuda/products.h"

namespace deciban::cuda {
namespace {

constexpr int kRows = 64, kColumns = 64, kInputs = 16, kThreads = 256;

__global__ __launch_bounds__(kThreads) void product_kernel(const float* w, int outputs, int inputs,
                                                           std::size_t w_stride, const float* x,
                                                           std::size_t x_stride, int rows, Finish finish) {
  __shared__ float xs[kInputs][kRows + 4], ws[kInputs][kColumns + 4];
  const int row0 = blockIdx.y * kRows, column0 = blockIdx.x * kColumns;
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  float sum[4][4] = {};
  for (int k0 = 0; k0 < inputs; k0 += kInputs) {
    for (int i = threadIdx.x; i < kInputs * kRows; i += kThreads) {
      const int k = i % kInputs, r = i / kInputs;
      const bool inside = k0 + k < inputs;
      xs[k][r] = inside && row0 + r < rows ? x[(row0 + r) * x_stride + k0 + k] : 0.0f;
      ws[k][r] = inside && column0 + r < outputs ? w[(column0 + r) * w_stride + k0 + k] : 0.0f;
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kInputs; ++k) {
      const float4 a = load4(&xs[k][4 * ty]), b = load4(&ws[k][4 * tx]);
      const float av[4] = {a.x, a.y, a.z, a.w}, bv[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sum[i][j] = fmaf(av[i], bv[j], sum[i][j]);
      }
    }
    __syncthreads();
  }
  const int column = column0 + 4 * tx;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = row0 + 4 * ty + i;
    if (row < rows && column < outputs) {
      write4(finish, {sum[i][0], sum[i][1], sum[i][2], sum[i][3]}, row, column);
    }
  }
}

template <typename W, typename Out>
__global__ void widen_kernel(const W* w, std::size_t rows, std::size_t columns, std::size_t stride, Out* out,
                             std::size_t out_stride) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < rows * columns;
       i += std::size_t{gridDim.x} * blockDim.x) {
    const W value = w[i / columns * stride + i % columns];
    float wide;
    if constexpr (std::is_same_v<W, std::int8_t>) {
      wide = value;
    } else {
      wide = to_float(value);
    }
    out[i / columns * out_stride + i % columns] = from_float<Out>(wide);
  }
}

template <typename Out>
void widen(const CudaWeight& w, Out* out, std::size_t out_stride, cudaStream_t stream) {
  constexpr int kBlocks = 1056;
  const auto go = [&](const auto* data) {
    widen_kernel<<<kBlocks, 256, 0, stream>>>(data, w.rows(), w.columns(), w.stride(), out, out_stride);
  };
  switch (w.format()) {
    case WeightFormat::f32:
      go(static_cast<const float*>(w.data()));
      break;
    case WeightFormat::bf16:
      go(static_cast<const bf16*>(w.data()));
      break;
    case WeightFormat::f16:
      go(static_cast<const f16*>(w.data()));
      break;
    case WeightFormat::i8:
      go(static_cast<const std::int8_t*>(w.data()));
      break;
    case WeightFormat::i4:
    case WeightFormat::i4g64:
    case WeightFormat::i8g32:
      if constexpr (std::is_same_v<Out, float>) {
        return widen_groups_f32(w, out, out_stride, stream);
      } else {
        return widen_groups_bf16(w, out, out_stride, stream);
      }
    case WeightFormat::f8:
      throw std::logic_error("these weights are never widened");
  }
  DECIBAN_LAUNCHED("widen");
}

__global__ void epilogue_kernel(const float* p, std::size_t p_stride, int rows, int columns, Finish finish) {
  const int quads = (columns + 3) / 4;
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x;
       i < static_cast<std::size_t>(rows) * quads; i += std::size_t{gridDim.x} * blockDim.x) {
    const std::size_t row = i / quads, column = i % quads * 4;
    write4(finish, load4(p + row * p_stride + column), row, column);
  }
}

}  // namespace

void product_f32(const float* weights, std::size_t outputs, std::size_t inputs, std::size_t weight_stride,
                 const float* scales, const Tensor& x, const Tensor& y, const Epilogue& epilogue,
                 cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((outputs + kColumns - 1) / kColumns),
                  static_cast<unsigned>((x.rows + kRows - 1) / kRows));
  product_kernel<<<grid, kThreads, 0, stream>>>(weights, static_cast<int>(outputs), static_cast<int>(inputs),
                                                weight_stride, x.f32(), x.stride, static_cast<int>(x.rows),
                                                finish(epilogue, y, scales));
  DECIBAN_LAUNCHED("product_f32");
}

void widen_f32(const CudaWeight& w, float* out, std::size_t out_stride, cudaStream_t stream) {
  widen(w, out, out_stride, stream);
}
void widen_bf16(const CudaWeight& w, void* out, std::size_t out_stride, cudaStream_t stream) {
  widen(w, static_cast<bf16*>(out), out_stride, stream);
}

void apply_epilogue(const Tensor& p, const float* scales, const Tensor& y, const Epilogue& epilogue,
                    cudaStream_t stream) {
  epilogue_kernel<<<2112, 256, 0, stream>>>(p.f32(), p.stride, static_cast<int>(p.rows),
                                            static_cast<int>(p.columns), finish(epilogue, y, scales));
  DECIBAN_LAUNCHED("epilogue");
}

}  // namespace deciban::cuda
