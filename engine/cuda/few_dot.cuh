// A warp's sums for one output of a product of few rows: weights in any format, read once in 16-byte pieces,
// several in flight.
#pragma once

#include "engine/cuda/epilogue.cuh"
#include "engine/cuda/launch_after.cuh"
#include "engine/cuda/packed.cuh"

namespace deciban::cuda {

constexpr int kAhead = 4;  // 16-byte loads of a lane that are in flight together

struct Few {
  const void* w;
  std::size_t w_stride;
  const void* x;
  std::size_t x_stride;
  int inputs, outputs;
  int end;  // outputs of this product lie before `end` in the common numbering
  WeightFormat format;
  Tensor::Type x_type;
  Finish finish;
  // Of weights in groups, whose w_stride counts bytes (packed.cuh).
  const std::byte* heads = nullptr;
  std::size_t groups = 0;
};
// 16 bytes of weights as floats.
__device__ inline void unpack(uint4 raw, float (&out)[8], const bf16*) {
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out[2 * i] = __uint_as_float(words[i] << 16);
    out[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
  }
}
__device__ inline void unpack(uint4 raw, float (&out)[8], const f16*) {
  f16 v[8];
  memcpy(v, &raw, 16);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = __half2float(v[i]);
}
__device__ inline void unpack(uint4 raw, float (&out)[4], const float*) {
  out[0] = __uint_as_float(raw.x), out[1] = __uint_as_float(raw.y);
  out[2] = __uint_as_float(raw.z), out[3] = __uint_as_float(raw.w);
}
__device__ inline void unpack(uint4 raw, float (&out)[16], const std::int8_t*) {
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 16; ++i)
    out[i] = static_cast<float>(static_cast<std::int8_t>(words[i / 4] >> (i % 4 * 8)));
}

template <int kCount, typename X>
__device__ inline void load_x(const X* x, float (&out)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; i += 4) {
    const float4 v = load4(x + i);
    out[i] = v.x, out[i + 1] = v.y, out[i + 2] = v.z, out[i + 3] = v.w;
  }
}

// The warp's sums over the inputs for one output and all rows.
template <int kRows, typename W, typename X>
__device__ inline void dot(const W* w, const X* x, std::size_t x_stride, int rows, int inputs,
                           float (&sum)[kRows]) {
  const auto row = [&](int r) { return x + (r < rows ? r : rows - 1) * x_stride; };
  constexpr int kPiece = 16 / sizeof(W), kStep = 32 * kPiece;
  const int lane = threadIdx.x % 32;
  int k = lane * kPiece;
  const int whole = inputs - inputs % kPiece;
  uint4 raw[kAhead];
  const auto fetch = [&] {  // whether all pieces of this round lie inside
    if (k + (kAhead - 1) * kStep + kPiece > whole) return false;
#pragma unroll
    for (int i = 0; i < kAhead; ++i) raw[i] = __ldcs(reinterpret_cast<const uint4*>(w + k + i * kStep));
    return true;
  };
  bool more = fetch();
  predecessors_done();  // weights do not depend on anybody; what follows reads x
  for (; more; k += kAhead * kStep, more = fetch()) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      float wv[kPiece];
      unpack(raw[i], wv, w);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float xv[kPiece];
        load_x(row(r) + k + i * kStep, xv);
#pragma unroll
        for (int e = 0; e < kPiece; ++e) sum[r] = fmaf(wv[e], xv[e], sum[r]);
      }
    }
  }
  for (; k + kPiece <= whole; k += kStep) {
    float wv[kPiece];
    unpack(__ldcs(reinterpret_cast<const uint4*>(w + k)), wv, w);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float xv[kPiece];
      load_x(row(r) + k, xv);
#pragma unroll
      for (int e = 0; e < kPiece; ++e) sum[r] = fmaf(wv[e], xv[e], sum[r]);
    }
  }
  for (int j = whole + lane; j < inputs; j += 32) {  // inputs that fill no piece
    float value;
    if constexpr (std::is_same_v<W, std::int8_t>) {
      value = w[j];
    } else {
      value = to_float(w[j]);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) sum[r] = fmaf(value, to_float(row(r)[j]), sum[r]);
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) sum[r] = warp_sum(sum[r]);
}

// The same with weights in groups and x of bf16, by tensor cores: the eight columns of an instruction are
// eight stretches of the output's row and its rows the same stretches of x, so that the sums lie on the
// diagonal and each lane reads a piece of its own.
template <int kRows, typename Format>
__device__ inline void dot_packed(const Few& p, int output, int rows, float (&sum)[kRows]) {
  constexpr int kPairs = Format::kInputs / 2, kTogether = 64 / Format::kInputs, kDeep = (kRows + 1) / 2;
  const int lane = threadIdx.x % 32, pieces = (p.inputs + Format::kInputs - 1) / Format::kInputs;
  const auto* w = reinterpret_cast<const uint4*>(static_cast<const std::byte*>(p.w) + output * p.w_stride);
  float d[kDeep][4] = {};
  uint4 raw[kTogether];
  unsigned head[kTogether];
  const auto fetch = [&](int first) {
#pragma unroll
    for (int a = 0; a < kTogether; ++a) {
      const int i = first + 32 * a + lane;
      raw[a] = i < pieces ? __ldcs(w + i) : uint4{0, 0, 0, 0};
      head[a] = i < pieces ? group_head<Format>(p.heads, p.format, output * p.groups, i) : 0;
    }
  };
  fetch(0);
  predecessors_done();
  for (int first = 0; first < pieces; first += 32 * kTogether) {
#pragma unroll
    for (int a = 0; a < kTogether; ++a) {
      if (first + 32 * a >= pieces) break;
      const int i = first + 32 * a + lane;
      unsigned weights[kPairs], upper[kPairs], lower[kPairs];
      Format::unpack(raw[a], head[a], weights);
#pragma unroll
      for (int r = 0; r < kDeep; ++r) {
        load_pairs<Format>(p.x, 2 * p.x_stride, 2 * r, rows, p.inputs, i, upper);
        load_pairs<Format>(p.x, 2 * p.x_stride, 2 * r + 1, kRows == 1 ? 0 : rows, p.inputs, i, lower);
#pragma unroll
        for (int q = 0; q < kPairs; q += 2) {
          multiply_bf16(d[r], upper[q], lower[q], upper[q + 1], lower[q + 1], weights[q], weights[q + 1]);
        }
      }
    }
    fetch(first + 32 * kTogether);
  }
  const bool diagonal = lane % 4 == lane / 4 / 2, odd = lane / 4 % 2 != 0;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const float* of = d[r / 2] + r % 2 * 2;
    sum[r] = warp_sum(diagonal ? (odd ? of[1] : of[0]) : 0.0f);
  }
}

// Of formats with groups alone: apart from the others, which need fewer registers.
template <int kRows>
__device__ inline void dot_groups(const Few& p, int output, int rows, float (&sum)[kRows]) {
  if (p.format == WeightFormat::i8g32) return dot_packed<kRows, EightBits>(p, output, rows, sum);
  dot_packed<kRows, FourBits>(p, output, rows, sum);
}

template <int kRows, typename X>
__device__ inline void dot_any(const Few& p, int output, int rows, float (&sum)[kRows]) {
  const X* x = static_cast<const X*>(p.x);
  const std::size_t at = static_cast<std::size_t>(output) * p.w_stride;
  switch (p.format) {
    case WeightFormat::f32:
      return dot<kRows>(static_cast<const float*>(p.w) + at, x, p.x_stride, rows, p.inputs, sum);
    case WeightFormat::bf16:
      return dot<kRows>(static_cast<const bf16*>(p.w) + at, x, p.x_stride, rows, p.inputs, sum);
    case WeightFormat::f16:
      return dot<kRows>(static_cast<const f16*>(p.w) + at, x, p.x_stride, rows, p.inputs, sum);
    case WeightFormat::i8:
      return dot<kRows>(static_cast<const std::int8_t*>(p.w) + at, x, p.x_stride, rows, p.inputs, sum);
  }
}

}  // namespace deciban::cuda
