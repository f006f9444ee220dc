// Products of few rows with weights of one byte or less.  What limits them is unpacking, so weights are made
// pairs of 16 bits and tensor cores do the rest: D[16 rows][8 outputs] += X[16][16] W[8][16]^T, of which rows
// that are not there cost nothing.  The order of the inputs within an instruction is free, so each lane takes
// a whole 16-byte piece of one output's row; a block's warps share the inputs and add up at the end.
#include <algorithm>

#include "engine/cuda/epilogue.cuh"
#include "engine/cuda/launch_after.cuh"
#include "engine/cuda/packed.cuh"
#include "engine/cuda/packed.h"

namespace deciban::cuda {
namespace {

constexpr int kWarps = 8, kMostProducts = 8;

struct Packed {
  const std::byte *w, *heads;
  std::size_t row_bytes, groups;
  const std::byte* x;
  std::size_t x_stride;  // bytes
  const float* x_scales;
  int inputs, outputs;
  int end;  // blocks of this product lie before `end`
  WeightFormat format;
  Finish finish;
};
struct PackedArgs {
  Packed at[kMostProducts];
};

// The warp's part of the sums of outputs [first, first + 8 kTiles).
template <typename Format, int kTiles, bool kHigh>
__device__ __forceinline__ void part_of_sums(const Packed& p, int first, int rows, float (&d)[kTiles][4]) {
  constexpr int kPairs = Format::kInputs / 2, kAhead = kTiles == 1 ? 4 : 2;
  const int lane = threadIdx.x % 32, column = lane / 4, quad = lane % 4, warp = threadIdx.x / 32;
  const int pieces = (p.inputs + Format::kInputs - 1) / Format::kInputs, steps = (pieces + 3) / 4;
  uint4 raw[kAhead][kTiles];
  unsigned head[kAhead][kTiles];
  const auto fetch = [&](int step) {
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int i = (step + a * kWarps) * 4 + quad;
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        const int output = first + 8 * t + column;
        raw[a][t] = {0, 0, 0, 0};
        head[a][t] = 0;
        if (i >= pieces || output >= p.outputs) continue;
        raw[a][t] = __ldcs(reinterpret_cast<const uint4*>(p.w + output * p.row_bytes) + i);
        head[a][t] = group_head<Format>(p.heads, p.format, output * p.groups, i);
      }
    }
  };
  int step = warp;
  fetch(step);
  predecessors_done();  // weights do not depend on anybody; what follows reads x
  for (; step < steps; step += kAhead * kWarps) {
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      if (step + a * kWarps >= steps) break;
      const int i = (step + a * kWarps) * 4 + quad;
      unsigned low[kPairs], high[kPairs] = {};
      load_pairs<Format>(p.x, p.x_stride, column, rows, p.inputs, i, low);
      if constexpr (kHigh) load_pairs<Format>(p.x, p.x_stride, column + 8, rows, p.inputs, i, high);
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        unsigned w[kPairs];
        Format::unpack(raw[a][t], head[a][t], w);
#pragma unroll
        for (int q = 0; q < kPairs; q += 2) {
          if constexpr (std::is_same_v<Format, E4m3>) {
            multiply_f16(d[t], low[q], high[q], low[q + 1], high[q + 1], w[q], w[q + 1]);
          } else {
            multiply_bf16(d[t], low[q], high[q], low[q + 1], high[q + 1], w[q], w[q + 1]);
          }
        }
      }
    }
    fetch(step + kAhead * kWarps);
  }
}

template <int kTiles, bool kHigh>
__global__ __launch_bounds__(32 * kWarps) void packed_kernel(const __grid_constant__ PackedArgs args,
                                                             int rows) {
  int n = 0, first_block = 0;
  while (static_cast<int>(blockIdx.x) >= args.at[n].end) first_block = args.at[n++].end;
  const Packed& p = args.at[n];
  const int first = (static_cast<int>(blockIdx.x) - first_block) * 8 * kTiles;
  float d[kTiles][4] = {};
  if (p.format == WeightFormat::f8) {
    part_of_sums<E4m3, kTiles, kHigh>(p, first, rows, d);
  } else if (p.format == WeightFormat::i8g32) {
    part_of_sums<EightBits, kTiles, kHigh>(p, first, rows, d);
  } else {
    part_of_sums<FourBits, kTiles, kHigh>(p, first, rows, d);
  }
  __shared__ float parts[kWarps][kTiles][32][4];
#pragma unroll
  for (int t = 0; t < kTiles; ++t)
    *reinterpret_cast<float4*>(parts[threadIdx.x / 32][t][threadIdx.x % 32]) = {d[t][0], d[t][1], d[t][2],
                                                                                d[t][3]};
  __syncthreads();
  for (int i = threadIdx.x; i < rows * 8 * kTiles; i += 32 * kWarps) {
    const int row = i / (8 * kTiles), column = i % 8, tile = i / 8 % kTiles;
    const int output = first + 8 * tile + column;
    if (output >= p.outputs) continue;
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w)
      sum += parts[w][tile][row % 8 * 4 + column / 2][row / 8 * 2 + column % 2];
    if (p.x_scales != nullptr) sum *= p.x_scales[row];
    write1(p.finish, sum, row, output);
  }
}

template <int kTiles, bool kHigh>
void launch(PackedArgs& args, std::size_t count, std::size_t rows, cudaStream_t stream) {
  int blocks = 0;
  for (std::size_t i = 0; i < count; ++i)
    args.at[i].end = blocks += (args.at[i].outputs + 8 * kTiles - 1) / (8 * kTiles);
  launch_after(packed_kernel<kTiles, kHigh>, static_cast<unsigned>(blocks), 32 * kWarps, 0, stream, args,
               static_cast<int>(rows));
}

}  // namespace

void products_few_packed(std::span<const FewPacked> group, cudaStream_t stream) {
  for (std::size_t first = 0; first < group.size(); first += kMostProducts) {
    const auto part = group.subspan(first, std::min<std::size_t>(kMostProducts, group.size() - first));
    PackedArgs args{};
    for (std::size_t i = 0; i < part.size(); ++i) {
      const FewPacked& p = part[i];
      const bool bytes = p.w->format() == WeightFormat::f8;
      const PackedRows rows = p.w->packed();
      args.at[i] = {.w = rows.values,
                    .heads = rows.heads,
                    .row_bytes = rows.row_bytes,
                    .groups = rows.groups,
                    .x = static_cast<const std::byte*>(p.x.data),
                    .x_stride = p.x.stride * (bytes ? 1 : 2),
                    .x_scales = p.x_scales,
                    .inputs = static_cast<int>(p.w->columns()),
                    .outputs = static_cast<int>(p.w->rows()),
                    .end = 0,
                    .format = p.w->format(),
                    .finish = finish(p.epilogue, p.y, p.w->scales())};
    }
    // More outputs a block read x less often, fewer give more blocks.
    const std::size_t rows = part[0].x.rows;
    if (rows <= 2) {
      launch<1, false>(args, part.size(), rows, stream);
    } else if (rows <= 8) {
      launch<2, false>(args, part.size(), rows, stream);
    } else {
      launch<4, true>(args, part.size(), rows, stream);
    }
  }
}

}  // namespace deciban::cuda
