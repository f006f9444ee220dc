// Row operations: embedding, token shift with its norm and mixes.
#include <algorithm>
#include <stdexcept>

#include "engine/cuda/check.h"
#include "engine/cuda/epilogue.cuh"
#include "engine/cuda/launch.h"
#include "engine/cuda/launch_after.cuh"

namespace deciban::cuda {
namespace {

constexpr int kMostMixes = 8;

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

struct NormArgs {
  const float* weight;
  const float* bias;
  float eps;
};
NormArgs arguments(const Norm& norm) {
  if (norm.kind != Norm::Kind::layer || norm.bias == nullptr) {
    throw std::logic_error("a norm that only backends with attention compute");
  }
  return {norm.weight->data(), norm.bias->data(), norm.eps};
}

// Any number of columns; thread i owns columns i, i + blockDim, … in every pass.
template <typename T>
__device__ void normalise_row(const float* x, int columns, const NormArgs& norm, T* out, float* shared) {
  float total = 0;
  for (int c = threadIdx.x; c < columns; c += blockDim.x) total += x[c];
  const float mean = block_sum(total, shared) / columns;
  float squares = 0;
  for (int c = threadIdx.x; c < columns; c += blockDim.x) squares += (x[c] - mean) * (x[c] - mean);
  const float inverse = 1.0f / sqrtf(block_sum(squares, shared) / columns + norm.eps);
  for (int c = threadIdx.x; c < columns; c += blockDim.x) {
    out[c] = from_float<T>(fmaf((x[c] - mean) * inverse, norm.weight[c], norm.bias[c]));
  }
}

template <typename T>
__global__ void embed_kernel(const T* table, int columns, const Token* tokens, bool normed, NormArgs norm,
                             float* x, std::size_t stride) {
  __shared__ float shared[32];
  predecessors_done();
  const T* from = table + static_cast<std::size_t>(tokens[blockIdx.x]) * columns;
  float* row = x + blockIdx.x * stride;
  for (int c = threadIdx.x; c < columns; c += blockDim.x) row[c] = to_float(from[c]);
  if (normed) normalise_row(row, columns, norm, row, shared);  // each thread reads what it wrote itself
}

struct MixArgs {
  const float* x;
  std::size_t stride;
  int rows, columns, run;  // `run` rows a block, one after the other
  NormArgs norm;
  const int* starts;
  bool singles;
  float* shift;
  std::size_t slot_stride;
  int mixes;
  const float* mix[kMostMixes];
  View out[kMostMixes];
  View h, h_prev;
};

// Thread i owns four columns from 4 (i + j blockDim) on, j < kQuads, in registers for the whole run.
template <int kQuads>
__device__ void load_normalised(const MixArgs& a, int row, float4 (&h)[kQuads], float* shared) {
  const float* x = a.x + static_cast<std::size_t>(row) * a.stride;
  float total = 0;
#pragma unroll
  for (int j = 0; j < kQuads; ++j) {
    const int c = 4 * (threadIdx.x + j * blockDim.x);
    h[j] = c < a.columns ? load4(x + c) : float4{0, 0, 0, 0};
    total += (h[j].x + h[j].y) + (h[j].z + h[j].w);
  }
  const float mean = block_sum(total, shared) / a.columns;
  float squares = 0;
#pragma unroll
  for (int j = 0; j < kQuads; ++j) {
    if (4 * (threadIdx.x + j * blockDim.x) >= a.columns) continue;
    h[j] = {h[j].x - mean, h[j].y - mean, h[j].z - mean, h[j].w - mean};
    squares += (h[j].x * h[j].x + h[j].y * h[j].y) + (h[j].z * h[j].z + h[j].w * h[j].w);
  }
  const float inverse = 1.0f / sqrtf(block_sum(squares, shared) / a.columns + a.norm.eps);
#pragma unroll
  for (int j = 0; j < kQuads; ++j) {
    const int c = 4 * (threadIdx.x + j * blockDim.x);
    if (c >= a.columns) continue;
    const float4 w = load4(a.norm.weight + c), b = load4(a.norm.bias + c);
    h[j] = {fmaf(h[j].x * inverse, w.x, b.x), fmaf(h[j].y * inverse, w.y, b.y),
            fmaf(h[j].z * inverse, w.z, b.z), fmaf(h[j].w * inverse, w.w, b.w)};
  }
}

template <int kQuads>
__global__ void norm_mix_kernel(const __grid_constant__ MixArgs a) {
  __shared__ float shared[32];
  predecessors_done();
  float4 h[kQuads], before[kQuads];
  const int first = blockIdx.x * a.run;
  const int last = min(first + a.run, a.rows);
  if (a.starts[first] < 0) load_normalised(a, first - 1, before, shared);
  for (int row = first; row < last; ++row) {
    const int slot = a.starts[row];
    float* state = slot < 0 ? nullptr : a.shift + slot * a.slot_stride;
    if (slot >= 0) {
#pragma unroll
      for (int j = 0; j < kQuads; ++j) {
        const int c = 4 * (threadIdx.x + j * blockDim.x);
        if (c < a.columns) before[j] = load4(state + c);
      }
    }
    load_normalised(a, row, h, shared);
#pragma unroll
    for (int j = 0; j < kQuads; ++j) {
      const int c = 4 * (threadIdx.x + j * blockDim.x);
      if (c >= a.columns) continue;
      const float4 d = {before[j].x - h[j].x, before[j].y - h[j].y, before[j].z - h[j].z,
                        before[j].w - h[j].w};
      for (int i = 0; i < a.mixes; ++i) {
        const float4 m = load4(a.mix[i] + c);
        store4(
            a.out[i], row, c,
            {fmaf(d.x, m.x, h[j].x), fmaf(d.y, m.y, h[j].y), fmaf(d.z, m.z, h[j].z), fmaf(d.w, m.w, h[j].w)});
      }
      if (a.h.data != nullptr) store4(a.h, row, c, h[j]);
      if (a.h_prev.data != nullptr) store4(a.h_prev, row, c, before[j]);
      // A piece of one row is read and moved on here; of longer ones another block may still read the state.
      if (a.singles) store4(state + c, h[j]);
      before[j] = h[j];
    }
  }
}

// The states of pieces longer than a row, when nobody reads the old ones any more.
template <int kQuads>
__global__ void shift_states_kernel(const __grid_constant__ MixArgs a, const int4* pieces) {
  __shared__ float shared[32];
  predecessors_done();
  const int4 piece = pieces[blockIdx.x];
  float4 h[kQuads];
  load_normalised(a, piece.x + piece.y - 1, h, shared);
#pragma unroll
  for (int j = 0; j < kQuads; ++j) {
    const int c = 4 * (threadIdx.x + j * blockDim.x);
    if (c < a.columns) store4(a.shift + piece.z * a.slot_stride + c, h[j]);
  }
}

__global__ void cast_kernel(View from, View to, std::size_t rows, int quads) {
  for (std::size_t row = blockIdx.x; row < rows; row += gridDim.x) {
    for (int q = threadIdx.x; q < quads; q += blockDim.x) store4(to, row, 4 * q, load4(from, row, 4 * q));
  }
}

// Threads so that each owns at most 4 kQuads columns; depends on the columns alone, so that a row's sums do.
int threads_for(int columns, int quads) {
  const int needed = (columns + 4 * quads - 1) / (4 * quads);
  return std::max(32, (needed + 31) / 32 * 32);
}

template <int kQuads>
void launch_norm_mix(const MixArgs& a, const DeviceLayout& layout, cudaStream_t stream) {
  const int threads = threads_for(a.columns, kQuads);
  const auto blocks = static_cast<unsigned>((a.rows + a.run - 1) / a.run);
  launch_after(norm_mix_kernel<kQuads>, blocks, threads, 0, stream, a);
  if (layout.singles) return;
  launch_after(shift_states_kernel<kQuads>, static_cast<unsigned>(layout.pieces), threads, 0, stream, a,
               layout.table);
}

}  // namespace

void embed_rows(const CudaTable& table, const Token* tokens, const Norm* norm, const Tensor& x,
                cudaStream_t stream) {
  const int threads = static_cast<int>(std::clamp<std::size_t>((x.columns + 31) / 32 * 32, 32, 256));
  with_type(table.type(), [&]<typename T>() {
    launch_after(embed_kernel<T>, static_cast<unsigned>(x.rows), threads, 0, stream,

                 static_cast<const T*>(table.data()), static_cast<int>(x.columns), tokens, norm != nullptr,
                 norm == nullptr ? NormArgs{} : arguments(*norm), x.f32(), x.stride);
  });
}

void cast(const Tensor& from, const Tensor& to, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(std::min<std::size_t>(from.rows, 65535));
  cast_kernel<<<blocks, 128, 0, stream>>>(view(from), view(to), from.rows, static_cast<int>(from.stride / 4));
  DECIBAN_LAUNCHED("cast");
}

void norm_mix(const Tensor& x, const Norm& norm, const DeviceLayout& layout, StateView shift,
              std::span<const Vector* const> mixes, std::span<const Tensor> outs, const Tensor* h,
              const Tensor* h_prev, cudaStream_t stream) {
  if (mixes.size() > kMostMixes || mixes.size() != outs.size()) throw std::logic_error("norm_mix: too many");
  MixArgs a{};
  a.x = x.f32();
  a.stride = x.stride;
  a.rows = static_cast<int>(x.rows);
  a.columns = static_cast<int>(x.columns);
  // A run's first row needs the row before once more: long runs waste less, short ones fill the card.
  a.run = layout.singles || x.rows < 2048 ? 1 : 8;
  a.norm = arguments(norm);
  a.starts = layout.starts;
  a.singles = layout.singles;
  a.shift = shift.data + shift.offset;
  a.slot_stride = shift.stride;
  a.mixes = static_cast<int>(mixes.size());
  for (std::size_t i = 0; i < mixes.size(); ++i) {
    a.mix[i] = mixes[i]->data();
    a.out[i] = view(outs[i]);
  }
  if (h != nullptr) a.h = view(*h);
  if (h_prev != nullptr) a.h_prev = view(*h_prev);
  if (x.columns <= 4096) {
    launch_norm_mix<2>(a, layout, stream);
  } else {
    launch_norm_mix<4>(a, layout, stream);
  }
}

}  // namespace deciban::cuda
