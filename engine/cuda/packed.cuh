// Weights of four and eight bits in groups, and e4m3, as pairs of 16-bit numbers.
//
// A row is a whole number of 16-byte pieces.  Of four bits a piece is 32 inputs, eight a word, input i in the
// nibble i % 2 * 4 + i / 2, so that a shift and a mask give two neighbours.  Of eight bits in groups a piece
// is 16 inputs, four a word, input i in the byte i % 2 * 2 + i / 2.  Of e4m3 they lie in order.  A group's
// scale (bf16; four bits: in the lower half, a bf16 minimum in the upper) lies apart.  Where products read
// bf16 a weight is q s (+ m) rounded to bf16 once, in every kernel alike.
#pragma once

#include <cstdint>

#include "engine/cuda/values.cuh"

namespace deciban::cuda {

__device__ __forceinline__ __nv_bfloat162 as_bf16_pair(unsigned bits) {
  __nv_bfloat162 pair;
  memcpy(&pair, &bits, 4);
  return pair;
}
template <typename Pair>
__device__ __forceinline__ unsigned as_bits(Pair pair) {
  unsigned bits;
  memcpy(&bits, &pair, 4);
  return bits;
}

struct FourBits {
  static constexpr int kInputs = 32;  // of a piece
  // The integers of a pair, exact: 128 + q in bf16 is q in the last bits.
  static __device__ __forceinline__ __nv_bfloat162 steps(unsigned word, int i) {
    return __hsub2(as_bf16_pair((word >> (4 * i) & 0x000f000fu) | 0x43004300u), as_bf16_pair(0x43004300u));
  }
  static __device__ __forceinline__ void unpack(uint4 raw, unsigned head, unsigned (&out)[16]) {
    const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
    const __nv_bfloat162 scale = as_bf16_pair(__byte_perm(head, 0, 0x1010)),
                         least = as_bf16_pair(__byte_perm(head, 0, 0x3232));
#pragma unroll
    for (int i = 0; i < 16; ++i) out[i] = as_bits(__hfma2(steps(words[i / 4], i % 4), scale, least));
  }
  static __device__ __forceinline__ void unpack(uint4 raw, unsigned head, float (&out)[32]) {
    const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
    const float scale = __uint_as_float(head << 16), least = __uint_as_float(head & 0xffff0000u);
#pragma unroll
    for (int i = 0; i < 32; ++i) {
      const int at = i % 2 * 16 + i % 8 / 2 * 4;
      out[i] = fmaf(static_cast<float>(words[i / 8] >> at & 15), scale, least);
    }
  }
};

struct EightBits {
  static constexpr int kInputs = 16;
  // 128 + the lower seven bits, less 128 or, of the negative, 256.
  static __device__ __forceinline__ __nv_bfloat162 steps(unsigned word, int i) {
    const unsigned v = word >> (8 * i);
    return __hsub2(as_bf16_pair((v & 0x007f007fu) | 0x43004300u),
                   as_bf16_pair((v & 0x00800080u) | 0x43004300u));
  }
  static __device__ __forceinline__ void unpack(uint4 raw, unsigned head, unsigned (&out)[8]) {
    const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
    const __nv_bfloat162 scale = as_bf16_pair(__byte_perm(head, 0, 0x1010));
#pragma unroll
    for (int i = 0; i < 8; ++i) out[i] = as_bits(__hmul2(steps(words[i / 2], i % 2), scale));
  }
  static __device__ __forceinline__ void unpack(uint4 raw, unsigned head, float (&out)[16]) {
    const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
    const float scale = __uint_as_float(head << 16);
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      const int at = i % 2 * 16 + i % 4 / 2 * 8;
      out[i] = static_cast<float>(static_cast<std::int8_t>(words[i / 4] >> at)) * scale;
    }
  }
};

// As f16, which holds every e4m3.
struct E4m3 {
  static constexpr int kInputs = 16;
  static __device__ __forceinline__ void unpack(uint4 raw, unsigned, unsigned (&out)[8]) {
    const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const auto two = static_cast<__nv_fp8x2_storage_t>(words[i / 2] >> (16 * (i % 2)));
      out[i] = as_bits(__nv_cvt_fp8x2_to_halfraw2(two, __NV_E4M3));
    }
  }
};

// The scale (and minimum) of piece i of a row whose groups begin at `row`.
template <typename Format>
__device__ __forceinline__ unsigned group_head(const std::byte* heads, WeightFormat format, std::size_t row,
                                               int i) {
  if constexpr (std::is_same_v<Format, E4m3>) return 0;
  if constexpr (std::is_same_v<Format, EightBits>)
    return __ldg(reinterpret_cast<const std::uint16_t*>(heads) + row + i / 2);
  return __ldg(reinterpret_cast<const unsigned*>(heads) + row + (format == WeightFormat::i4g64 ? i / 2 : i));
}

// Inputs of piece i of a row of x (bf16, or e4m3 with e4m3 weights), `stride` bytes apart, as pairs; zeros
// for what is not there.
template <typename Format>
__device__ __forceinline__ void load_pairs(const void* x, std::size_t stride, int row, int rows, int inputs,
                                           int i, unsigned (&out)[Format::kInputs / 2]) {
  constexpr int kPairs = Format::kInputs / 2;
  const int inside = inputs - i * Format::kInputs;
#pragma unroll
  for (int q = 0; q < kPairs; ++q) out[q] = 0;
  if (row >= rows || inside <= 0) return;
  const std::byte* at = static_cast<const std::byte*>(x) + row * stride;
  if constexpr (std::is_same_v<Format, E4m3>) {
    Format::unpack(*reinterpret_cast<const uint4*>(at + i * 16), 0, out);  // zero behind the last input
  } else {
    const auto* pairs = reinterpret_cast<const uint4*>(at + i * Format::kInputs * 2);
#pragma unroll
    for (int q = 0; q < kPairs; q += 4) {
      const uint4 four = pairs[q / 4];
      out[q] = four.x, out[q + 1] = four.y, out[q + 2] = four.z, out[q + 3] = four.w;
    }
    if (inside >= Format::kInputs) return;
#pragma unroll
    for (int q = 0; q < kPairs; ++q) {
      if (2 * q >= inside) {
        out[q] = 0;
      } else if (2 * q + 1 >= inside) {
        out[q] &= 0xffffu;
      }
    }
  }
}

// d[16 rows][8 columns] += a[16][16] b[8][16]^T, as mma.m16n8k16 spreads them over a warp.
__device__ __forceinline__ void multiply_bf16(float (&d)[4], unsigned a0, unsigned a1, unsigned a2,
                                              unsigned a3, unsigned b0, unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void multiply_f16(float (&d)[4], unsigned a0, unsigned a1, unsigned a2,
                                             unsigned a3, unsigned b0, unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

}  // namespace deciban::cuda
