// Making weights in groups on the device, widening them, and rounding activations to e4m3.
#include <algorithm>
#include <stdexcept>

#include "engine/cuda/check.h"
#include "engine/cuda/launch_after.cuh"
#include "engine/cuda/packed.cuh"
#include "engine/cuda/packed.h"

namespace deciban::cuda {
namespace {

constexpr int kThreads = 128;
constexpr std::size_t kMostRounded = 8;

unsigned blocks_for(std::size_t items) { return static_cast<unsigned>((items + kThreads - 1) / kThreads); }

__device__ inline float to_bf16(float x) {
  const unsigned bits = __float_as_uint(x);
  return __uint_as_float((bits + (bits >> 16 & 1) + 0x7fff) & 0xffff0000u);
}
__device__ inline float inverse_of(float scale) { return scale > 0x1p-100f ? __fdiv_rn(1, scale) : 0.0f; }
__device__ inline float step_of(float x, float least, float inverse) {
  return fminf(15, fmaxf(0, rintf(__fmul_rn(__fsub_rn(x, least), inverse))));
}

// The scale and the minimum of a group that leave the least squared error: the search of
// engine/cpu/pack-groups-inl.h, operation by operation and none fused, so that both choose alike.
template <int kGroup>
struct Fit {
  float x[kGroup];
  int count;
  float mean, scale, least;

  // The squared error with (s, m); then makes of them what least squares says.
  __device__ float refine(float& s, float& m) const {
    const float inverse = inverse_of(s);
    float error = 0, steps = 0, squares = 0, products = 0;
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      if (k >= count) continue;
      const float q = step_of(x[k], m, inverse);
      const float off = __fsub_rn(__fadd_rn(__fmul_rn(q, s), m), x[k]);
      error = __fadd_rn(error, __fmul_rn(off, off));
      steps = __fadd_rn(steps, q);
      squares = __fadd_rn(squares, __fmul_rn(q, q));
      products = __fadd_rn(products, __fmul_rn(q, __fsub_rn(x[k], mean)));
    }
    const float mean_step = __fdiv_rn(steps, static_cast<float>(count));
    const float spread = __fsub_rn(squares, __fmul_rn(steps, mean_step));
    if (spread > 0.25f) {
      s = __fdiv_rn(products, spread);
      m = __fsub_rn(mean, __fmul_rn(s, mean_step));
    }
    return error;
  }

  __device__ void search() {
    float low = x[0], high = x[0], total = 0;
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      if (k >= count) continue;
      low = fminf(low, x[k]);
      high = fmaxf(high, x[k]);
      total = __fadd_rn(total, x[k]);
    }
    mean = __fdiv_rn(total, static_cast<float>(count));
    float best = 3e38f;
    scale = 0;
    least = to_bf16(mean);
    const float middle = __fmul_rn(__fadd_rn(low, high), 0.5f), range = __fsub_rn(high, low);
    const float parts[5] = {1.0f, 0.94f, 0.88f, 0.82f, 0.75f};
#pragma unroll 1
    for (int part = 0; part < 5; ++part) {
      const float width = __fmul_rn(range, parts[part]);
      float s = __fdiv_rn(width, 15), m = __fsub_rn(middle, __fmul_rn(width, 0.5f));
#pragma unroll 1
      for (int round = 0; round < 3; ++round) {
        const float tried_scale = s = to_bf16(s), tried_least = m = to_bf16(m);
        const float error = refine(s, m);
        if (best > error) {
          best = error;
          scale = tried_scale;
          least = tried_least;
        }
      }
    }
  }
};

// A thread a group.
template <int kGroup>
__global__ void quantise_i4(const float* in, std::size_t rows, std::size_t columns, PackedRows out,
                            int* damaged) {
  const std::size_t at = blockIdx.x * std::size_t{kThreads} + threadIdx.x;
  if (at >= rows * out.groups) return;
  const std::size_t row = at / out.groups, first = at % out.groups * kGroup;
  Fit<kGroup> fit;
  fit.count = static_cast<int>(min(columns - first, static_cast<std::size_t>(kGroup)));
  float damage = 0;
#pragma unroll
  for (int k = 0; k < kGroup; ++k) {
    fit.x[k] = k < fit.count ? in[row * columns + first + k] : 0.0f;
    damage += fit.x[k] - fit.x[k];
  }
  fit.search();
  damage += fit.scale - fit.scale;
  if (!(damage == 0)) atomicAdd(damaged, 1);
  reinterpret_cast<unsigned*>(out.heads)[at] = __float_as_uint(fit.scale) >> 16 | __float_as_uint(fit.least);
  const float inverse = inverse_of(fit.scale);
  auto* words = reinterpret_cast<unsigned*>(out.values + row * out.row_bytes + first / 2);
#pragma unroll
  for (int k = 0; k < kGroup; k += 8) {
    if (first + k >= out.row_bytes * 2) break;  // half of the last group of 64 may lie outside
    unsigned word = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (k + i >= fit.count) continue;
      const auto q = static_cast<unsigned>(step_of(fit.x[k + i], fit.least, inverse));
      word |= q << (4 * (i % 2 * 4 + i / 2));
    }
    words[k / 8] = word;
  }
}

__global__ void quantise_i8(const float* in, std::size_t rows, std::size_t columns, PackedRows out,
                            int* damaged) {
  const std::size_t at = blockIdx.x * std::size_t{kThreads} + threadIdx.x;
  if (at >= rows * out.groups) return;
  const std::size_t row = at / out.groups, first = at % out.groups * 32;
  float x[32], top = 0, damage = 0;
#pragma unroll
  for (int k = 0; k < 32; ++k) {
    x[k] = first + k < columns ? in[row * columns + first + k] : 0.0f;
    top = fmaxf(top, fabsf(x[k]));
    damage += x[k] - x[k];
  }
  const float scale = to_bf16(__fdiv_rn(top, 127)), inverse = inverse_of(scale);
  damage += scale - scale;
  if (!(damage == 0)) atomicAdd(damaged, 1);
  reinterpret_cast<std::uint16_t*>(out.heads)[at] = static_cast<std::uint16_t>(__float_as_uint(scale) >> 16);
  auto* words = reinterpret_cast<unsigned*>(out.values + row * out.row_bytes + first);
#pragma unroll
  for (int k = 0; k < 32; k += 4) {
    unsigned word = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float q = fminf(127, fmaxf(-127, rintf(__fmul_rn(x[k + i], inverse))));
      word |= (static_cast<unsigned>(static_cast<int>(q)) & 0xff) << (8 * (i % 2 * 2 + i / 2));
    }
    words[k / 4] = word;
  }
}

// A thread a block of the file.
template <WeightFormat kFormat>
__global__ void adopt(const std::byte* blocks, std::size_t rows, PackedRows out, int* damaged) {
  constexpr int kGroup = group_of(kFormat);
  constexpr bool kEight = kFormat == WeightFormat::i8g32;
  constexpr int kHead = kEight ? 2 : 4, kWords = kEight ? kGroup / 4 : kGroup / 8;
  const std::size_t at = blockIdx.x * std::size_t{kThreads} + threadIdx.x;
  if (at >= rows * out.groups) return;
  const std::size_t row = at / out.groups, group = at % out.groups;
  // Blocks have no alignment but that of two bytes.
  const auto* halves = reinterpret_cast<const std::uint16_t*>(blocks + at * (kHead + 4 * kWords));
  bool finite = (halves[0] & 0x7f80) != 0x7f80;
  if constexpr (kEight) {
    reinterpret_cast<std::uint16_t*>(out.heads)[at] = halves[0];
  } else {
    finite = finite && (halves[1] & 0x7f80) != 0x7f80;
    reinterpret_cast<unsigned*>(out.heads)[at] = halves[0] | static_cast<unsigned>(halves[1]) << 16;
  }
  if (!finite) atomicAdd(damaged, 1);
  const std::size_t begin = group * kWords * 4;
  auto* words = reinterpret_cast<unsigned*>(out.values + row * out.row_bytes + begin);
  for (int w = 0; w < kWords; ++w) {
    if (begin + 4 * w >= out.row_bytes) break;
    const unsigned in = halves[kHead / 2 + 2 * w] | static_cast<unsigned>(halves[kHead / 2 + 2 * w + 1])
                                                        << 16;
    unsigned word = 0;
    if constexpr (kEight) {
      word = __byte_perm(in, 0, 0x3120);  // inputs 0, 2, 1, 3
    } else {
#pragma unroll
      for (int i = 0; i < 8; ++i) word |= (in >> (4 * i) & 15) << (4 * (i % 2 * 4 + i / 2));
    }
    words[w] = word;
  }
}

// A thread a piece; inputs behind the last become zero.
template <typename Format>
__global__ void widen_f32_kernel(PackedRows in, WeightFormat format, std::size_t rows, std::size_t columns,
                                 float* out, std::size_t out_stride) {
  const std::size_t pieces = in.row_bytes / 16, at = blockIdx.x * std::size_t{kThreads} + threadIdx.x;
  if (at >= rows * pieces) return;
  const std::size_t row = at / pieces, piece = at % pieces, first = piece * Format::kInputs;
  const std::size_t head = row * in.groups + first / group_of(format);
  float values[Format::kInputs];
  Format::unpack(*reinterpret_cast<const uint4*>(in.values + row * in.row_bytes + piece * 16),
                 format == WeightFormat::i8g32 ? reinterpret_cast<const std::uint16_t*>(in.heads)[head]
                                               : reinterpret_cast<const unsigned*>(in.heads)[head],
                 values);
  for (int i = 0; i < Format::kInputs; ++i) {
    if (first + i < columns) out[row * out_stride + first + i] = values[i];
  }
}
template <typename Format>
__global__ void widen_bf16_kernel(PackedRows in, WeightFormat format, std::size_t rows, std::size_t columns,
                                  std::uint16_t* out, std::size_t out_stride) {
  const std::size_t pieces = in.row_bytes / 16, at = blockIdx.x * std::size_t{kThreads} + threadIdx.x;
  if (at >= rows * pieces) return;
  const std::size_t row = at / pieces, piece = at % pieces, first = piece * Format::kInputs;
  const std::size_t head = row * in.groups + first / group_of(format);
  unsigned pairs[Format::kInputs / 2];
  Format::unpack(*reinterpret_cast<const uint4*>(in.values + row * in.row_bytes + piece * 16),
                 format == WeightFormat::i8g32 ? reinterpret_cast<const std::uint16_t*>(in.heads)[head]
                                               : reinterpret_cast<const unsigned*>(in.heads)[head],
                 pairs);
  std::uint16_t* to = out + row * out_stride + first;
#pragma unroll
  for (int i = 0; i < Format::kInputs; i += 8) {
    if (first + i + 8 <= columns) {
      *reinterpret_cast<uint4*>(to + i) = {pairs[i / 2], pairs[i / 2 + 1], pairs[i / 2 + 2],
                                           pairs[i / 2 + 3]};
    } else if (first + i < out_stride) {
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        to[i + e] =
            first + i + e < columns ? static_cast<std::uint16_t>(pairs[(i + e) / 2] >> (16 * (e % 2))) : 0;
      }
    }
  }
}

struct E4m3Args {
  E4m3Rows at[kMostRounded];
};
// A block a row.
__global__ __launch_bounds__(256) void e4m3_kernel(const __grid_constant__ E4m3Args args) {
  predecessors_done();
  const E4m3Rows& a = args.at[blockIdx.y];
  if (blockIdx.x >= a.x.rows) return;
  const auto* row = static_cast<const bf16*>(a.x.data) + blockIdx.x * a.x.stride;
  const std::size_t columns = a.x.columns;
  // Eight at a time: strides are multiples of 16 at least, and what lies behind the last column is no number.
  const auto eight = [&](std::size_t c, float(&v)[8]) {
    const float4 low = load4(row + c), high = load4(row + c + 4);
    const float all[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) v[i] = c + i < columns ? all[i] : 0.0f;
  };
  __shared__ float tops[8];
  float top = 0, v[8];
  for (std::size_t c = threadIdx.x * 8; c < columns; c += 256 * 8) {
    eight(c, v);
#pragma unroll
    for (int i = 0; i < 8; ++i) top = fmaxf(top, fabsf(v[i]));
  }
  for (int lane = 16; lane > 0; lane /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, lane));
  if (threadIdx.x % 32 == 0) tops[threadIdx.x / 32] = top;
  __syncthreads();
#pragma unroll
  for (int w = 0; w < 8; ++w) top = fmaxf(top, tops[w]);
  const float inverse = top > 0 ? 448.0f / top : 0.0f;
  if (threadIdx.x == 0) a.scales[blockIdx.x] = top / 448.0f;
  for (std::size_t c = threadIdx.x * 8; c < a.stride; c += 256 * 8) {
    for (float& value : v) value = 0;
    if (c < columns) eight(c, v);
    std::uint16_t pairs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      pairs[i] =
          __nv_cvt_float2_to_fp8x2({v[2 * i] * inverse, v[2 * i + 1] * inverse}, __NV_SATFINITE, __NV_E4M3);
    }
    *reinterpret_cast<uint2*>(a.out + blockIdx.x * a.stride + c) = {pairs[0] | unsigned{pairs[1]} << 16,
                                                                    pairs[2] | unsigned{pairs[3]} << 16};
  }
}

}  // namespace

void quantise_groups(WeightFormat format, const float* in, std::size_t rows, std::size_t columns,
                     const PackedRows& out, int* damaged) {
  const unsigned blocks = blocks_for(rows * out.groups);
  if (format == WeightFormat::i4) {
    quantise_i4<32><<<blocks, kThreads>>>(in, rows, columns, out, damaged);
  } else if (format == WeightFormat::i4g64) {
    quantise_i4<64><<<blocks, kThreads>>>(in, rows, columns, out, damaged);
  } else {
    quantise_i8<<<blocks, kThreads>>>(in, rows, columns, out, damaged);
  }
  DECIBAN_LAUNCHED("quantisation");
}

void adopt_blocks(WeightFormat format, const std::byte* blocks, std::size_t rows, const PackedRows& out,
                  int* damaged) {
  const unsigned count = blocks_for(rows * out.groups);
  if (format == WeightFormat::i4) {
    adopt<WeightFormat::i4><<<count, kThreads>>>(blocks, rows, out, damaged);
  } else if (format == WeightFormat::i4g64) {
    adopt<WeightFormat::i4g64><<<count, kThreads>>>(blocks, rows, out, damaged);
  } else {
    adopt<WeightFormat::i8g32><<<count, kThreads>>>(blocks, rows, out, damaged);
  }
  DECIBAN_LAUNCHED("adoption of stored blocks");
}

void widen_groups_f32(const CudaWeight& w, float* out, std::size_t out_stride, cudaStream_t stream) {
  const PackedRows rows = w.packed();
  const unsigned blocks = blocks_for(w.rows() * (rows.row_bytes / 16));
  if (w.format() == WeightFormat::i8g32) {
    widen_f32_kernel<EightBits>
        <<<blocks, kThreads, 0, stream>>>(rows, w.format(), w.rows(), w.columns(), out, out_stride);
  } else {
    widen_f32_kernel<FourBits>
        <<<blocks, kThreads, 0, stream>>>(rows, w.format(), w.rows(), w.columns(), out, out_stride);
  }
  DECIBAN_LAUNCHED("widen");
}

void widen_groups_bf16(const CudaWeight& w, void* out, std::size_t out_stride, cudaStream_t stream) {
  const PackedRows rows = w.packed();
  const unsigned blocks = blocks_for(w.rows() * (rows.row_bytes / 16));
  auto* to = static_cast<std::uint16_t*>(out);
  if (w.format() == WeightFormat::i8g32) {
    widen_bf16_kernel<EightBits>
        <<<blocks, kThreads, 0, stream>>>(rows, w.format(), w.rows(), w.columns(), to, out_stride);
  } else {
    widen_bf16_kernel<FourBits>
        <<<blocks, kThreads, 0, stream>>>(rows, w.format(), w.rows(), w.columns(), to, out_stride);
  }
  DECIBAN_LAUNCHED("widen");
}

void round_to_e4m3(std::span<const E4m3Rows> all, cudaStream_t stream) {
  for (std::size_t first = 0; first < all.size(); first += kMostRounded) {
    const auto part = all.subspan(first, std::min(kMostRounded, all.size() - first));
    E4m3Args args{};
    std::size_t rows = 0;
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (part[i].x.type != Tensor::Type::bf16) throw std::logic_error("only bf16 is rounded to e4m3");
      args.at[i] = part[i];
      rows = std::max(rows, part[i].x.rows);
    }
    launch_after(e4m3_kernel, dim3(static_cast<unsigned>(rows), static_cast<unsigned>(part.size())), 256, 0,
                 stream, args);
  }
}

}  // namespace deciban::cuda
