// Scores and weighted values of 16 queries a warp against keys of one page in shared memory, by mma
// instructions.
#pragma once

#include "engine/cuda/attention_tile.cuh"
#include "engine/cuda/mma.cuh"

namespace deciban::cuda {

// Calls f.operator()<T, kSize>() for a cache that has_attention_mma().
template <typename F>
void with_mma(const KvView& kv, const F& f) {
  const auto go = [&]<typename T>() {
    switch (kv.size) {
      case 64:
        return f.template operator()<T, 64>();
      case 80:
        return f.template operator()<T, 80>();
      case 128:
        return f.template operator()<T, 128>();
      default:
        return f.template operator()<T, 256>();
    }
  };
  kv.type == Tensor::Type::bf16 ? go.template operator()<bf16>() : go.template operator()<f16>();
}

// The warp's 16 queries as left operands.  Larger heads' stay in shared memory, [16][kSize + 8].
template <typename T, int kSize>
struct Queries {
  static constexpr bool kInRegisters = kSize <= 128;
  static constexpr int kStride = kSize + 8, kSharedBytes = kInRegisters ? 0 : 16 * kStride * 2;
  unsigned a[kInRegisters ? kSize / 16 : 1][4];
  const T* memory = nullptr;  // the warp's

  // row(r): query r's channels, or null.
  template <typename Row>
  __device__ __forceinline__ void load(T* shared, const Row& row) {
    const int lane = threadIdx.x % 32;
    if constexpr (kInRegisters) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const T* x = row(lane / 4 + e % 2 * 8);
#pragma unroll
        for (int k = 0; k < kSize / 16; ++k) {
          a[k][e] =
              x == nullptr ? 0u : *reinterpret_cast<const unsigned*>(x + 16 * k + e / 2 * 8 + 2 * (lane % 4));
        }
      }
    } else {
      for (int r = 0; r < 16; ++r) {
        const T* x = row(r);
        for (int c = 8 * lane; c < kSize; c += 256) {
          const uint4 none = {0, 0, 0, 0};
          *reinterpret_cast<uint4*>(shared + r * kStride + c) =
              x == nullptr ? none : *reinterpret_cast<const uint4*>(x + c);
        }
      }
      __syncwarp();
      memory = shared;
    }
  }
  __device__ __forceinline__ void get(int k, unsigned (&to)[4]) const {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if constexpr (kInRegisters) {
        to[e] = a[k][e];
      } else {
        to[e] = *reinterpret_cast<const unsigned*>(memory + (lane / 4 + e % 2 * 8) * kStride + 16 * k +
                                                   e / 2 * 8 + 2 * (lane % 4));
      }
    }
  }
};

// s = q k for kKeys keys from `first` on of the page of keys at `keys`.
template <typename T, int kSize, int kKeys>
__device__ __forceinline__ void score_keys(const Queries<T, kSize>& q, unsigned keys, int first,
                                           float (&s)[kKeys / 2]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (float& x : s) x = 0;
#pragma unroll
  for (int k = 0; k < kSize / 16; ++k) {
    unsigned a[4];
    q.get(k, a);
#pragma unroll
    for (int n = 0; n < kKeys; n += 16) {
      unsigned b[4];
      const int token = first + n + lane / 16 * 8 + lane % 8;
      load_matrices(b, keys + piece_offset(kSize, token, 2 * k + lane / 8 % 2));
      mma<T>(s + n / 2, a, b[0], b[1]);
      mma<T>(s + n / 2 + 4, a, b[2], b[3]);
    }
  }
}

// sums += weights s times the values of these keys.
template <typename T, int kSize, int kKeys>
__device__ __forceinline__ void add_values(const float (&s)[kKeys / 2], unsigned values, int first,
                                           float (&sums)[kSize / 2]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < kKeys / 16; ++i) {
    unsigned a[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) a[e] = packed<T>(s[8 * i + 2 * e], s[8 * i + 2 * e + 1]);
    const int token = first + 16 * i + lane / 8 % 2 * 8 + lane % 8;
#pragma unroll
    for (int c = 0; c < kSize / 16; ++c) {
      unsigned b[4];
      load_transposed(b, values + piece_offset(kSize, token, 2 * c + lane / 16));
      mma<T>(sums + 8 * c, a, b[0], b[1]);
      mma<T>(sums + 8 * c + 4, a, b[2], b[3]);
    }
  }
}

template <int kSize>
__device__ __forceinline__ void shrink_sums(float (&sums)[kSize / 2], const float (&shrink)[2]) {
#pragma unroll
  for (int j = 0; j < kSize / 8; ++j) {
    sums[4 * j] *= shrink[0];
    sums[4 * j + 1] *= shrink[0];
    sums[4 * j + 2] *= shrink[1];
    sums[4 * j + 3] *= shrink[1];
  }
}

// A head's keys and values of a page, one behind the other, to shared memory by all of the block's threads.
template <int kSize, int kThreads>
__device__ __forceinline__ void copy_page(unsigned to, const std::byte* head) {
  constexpr int kPieces = 2 * kPageTokens * kSize / 8;
#pragma unroll
  for (int i = threadIdx.x; i < kPieces; i += kThreads) copy16(to + 16 * i, head + 16 * i);
}

}  // namespace deciban::cuda
