// The recurrences of RWKV-5, 6 and 7 for heads of 64 channels (rwkv.md §4, §5.2, §6.2).
//
// A block of 64 threads has one head of one piece.  The 64 x 64 state stays in registers: each thread has 16
// keys times 4 values, so that a parameter read from shared memory serves four multiply-adds and values are
// summed over four lanes only.  Tokens go through in tiles of 8: raw rows arrive by asynchronous copies
// while the tile before is computed; per-token vectors (normalised keys, decays) are prepared and results are
// normalised by eight threads a token.
#include "engine/cuda/check.h"
#include "engine/cuda/wkv_heads.cuh"

namespace deciban::cuda {
namespace {

constexpr int kSize = 64, kTile = 8, kThreads = 64;
constexpr int kBlocks = 6;  // that share a multiprocessor: what their registers allow

template <typename T>
struct Shared {
  T r[kTile][kSize], k[kTile][kSize], v[kTile][kSize], a[kTile][kSize], g[2][kTile][kSize];
  float raw_w[kTile][kSize];
  // Prepared, f32.  minus_kk has a row more: the one behind the last token is read, its product unused.
  float w[kTile][kSize], key[kTile][kSize], receptance[kTile][kSize], value[kTile][kSize];
  float minus_kk[kTile + 1][kSize], kk_a[kTile][kSize], y[kTile][kSize];
};

__device__ void copy16(void* to, const void* from, bool wanted) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  const int bytes = wanted ? 16 : 0;  // the rest is filled with zeros
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes));
}

// Rows [first, first + kTile) of one operand, zeros behind the piece's end.
template <typename T>
__device__ void fetch(T (&to)[kTile][kSize], const T* from, std::size_t stride, int first, int rows) {
  constexpr int kChunk = 16 / sizeof(T), kChunks = kSize / kChunk;
#pragma unroll
  for (int i = threadIdx.x; i < kTile * kChunks; i += kThreads) {
    const int t = i / kChunks, c = i % kChunks * kChunk;
    const int row = min(first + t, rows - 1);
    copy16(&to[t][c], from + row * stride + c, first + t < rows);
  }
}

__device__ float over_token(float x) {  // sum over the eight lanes that prepare or finish a token
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  x += __shfl_xor_sync(0xffffffffu, x, 2);
  return x + __shfl_xor_sync(0xffffffffu, x, 4);
}
__device__ float over_keys(float x) {  // sum over the four lanes that share values
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

template <int kVersion, typename T, typename Out>
__global__ __launch_bounds__(kThreads, kBlocks) void heads64_kernel(const __grid_constant__ HeadsArgs p) {
  extern __shared__ __align__(16) unsigned char memory[];
  auto& s = *reinterpret_cast<Shared<T>*>(memory);
  const int4 piece = p.pieces[blockIdx.x / p.heads];
  const int head = blockIdx.x % p.heads, column = head * kSize, rows = piece.y;
  const auto at = [&](const void* data, std::size_t stride) {
    return static_cast<const T*>(data) + piece.x * stride + column;
  };
  const T *r = at(p.r, p.r_stride), *k = at(p.k, p.k_stride), *v = at(p.v, p.v_stride);
  const T* a = kVersion == 7 ? at(p.a, p.a_stride) : nullptr;
  const T* g = p.g != nullptr ? at(p.g, p.g_stride) : nullptr;
  const float* w = p.w != nullptr ? p.w + piece.x * p.w_stride + column : nullptr;
  Out* out = static_cast<Out*>(p.out) + piece.x * p.out_stride + column;
  const auto start = [&](int first) {
    fetch(s.r, r, p.r_stride, first, rows);
    fetch(s.k, k, p.k_stride, first, rows);
    fetch(s.v, v, p.v_stride, first, rows);
    if constexpr (kVersion == 7) fetch(s.a, a, p.a_stride, first, rows);
    if (g != nullptr) fetch(s.g[first / kTile % 2], g, p.g_stride, first, rows);
    if (w != nullptr) fetch(s.raw_w, w, p.w_stride, first, rows);
    asm volatile("cp.async.commit_group;");
  };
  start(0);

  // Keys 16 q + 4 part + e, values 4 group + i.
  const int part = threadIdx.x % 4, group = threadIdx.x / 4;
  float* state = p.state + piece.z * p.slot_stride + static_cast<std::size_t>(head) * kSize * kSize;
  float x[4][4][4];
#pragma unroll
  for (int q = 0; q < 4; ++q) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const float4 row = load4(state + (16 * q + 4 * part + e) * kSize + 4 * group);
      x[q][e][0] = row.x;
      x[q][e][1] = row.y;
      x[q][e][2] = row.z;
      x[q][e][3] = row.w;
    }
  }
  if (threadIdx.x < kSize) s.minus_kk[kTile][threadIdx.x] = 0;

  // In preparing and finishing, thread i has token i / 8 and channels 4 (i % 8) … and 32 + 4 (i % 8) ….
  const int token = threadIdx.x / 8, channel = 4 * (threadIdx.x % 8);
  for (int first = 0; first < rows; first += kTile) {
    const int tokens = min(kTile, rows - first);
    asm volatile("cp.async.wait_group 0;");
    __syncthreads();
    float bonus = 0;
    {
      float length = 0, kk[2][4], rate[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int c = channel + 32 * i;
        const float4 k4 = load4(&s.k[token][c]), r4 = load4(&s.r[token][c]);
        store4(&s.value[token][c], load4(&s.v[token][c]));
        store4(&s.receptance[token][c], r4);
        store4(&s.w[token][c], w != nullptr ? load4(&s.raw_w[token][c]) : load4(p.decay + column + c));
        const float kv[4] = {k4.x, k4.y, k4.z, k4.w}, rv[4] = {r4.x, r4.y, r4.z, r4.w};
        float key[4];
        if constexpr (kVersion == 7) {
          const float4 a4 = load4(&s.a[token][c]), kk4 = load4(p.k_k + column + c),
                       ka4 = load4(p.k_a + column + c), rk4 = load4(p.r_k + column + c);
          const float av[4] = {a4.x, a4.y, a4.z, a4.w}, kkv[4] = {kk4.x, kk4.y, kk4.z, kk4.w},
                      kav[4] = {ka4.x, ka4.y, ka4.z, ka4.w}, rkv[4] = {rk4.x, rk4.y, rk4.z, rk4.w};
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            kk[i][e] = kv[e] * kkv[e];
            rate[i][e] = av[e];
            length = fmaf(kk[i][e], kk[i][e], length);
            key[e] = kv[e] * fmaf(av[e] - 1.0f, kav[e], 1.0f);
            bonus = fmaf(rv[e] * key[e], rkv[e], bonus);
          }
        } else {
          const float4 u4 = load4(p.bonus + column + c);
          const float uv[4] = {u4.x, u4.y, u4.z, u4.w};
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            key[e] = kv[e];
            bonus = fmaf(rv[e] * uv[e], kv[e], bonus);
          }
        }
        store4(&s.key[token][c], {key[0], key[1], key[2], key[3]});
      }
      bonus = over_token(bonus);
      if constexpr (kVersion == 7) {
        const float inverse = 1.0f / fmaxf(sqrtf(over_token(length)), 1e-12f);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int c = channel + 32 * i;
#pragma unroll
          for (int e = 0; e < 4; ++e) kk[i][e] *= inverse;
          store4(&s.minus_kk[token][c], {-kk[i][0], -kk[i][1], -kk[i][2], -kk[i][3]});
          store4(&s.kk_a[token][c], {kk[i][0] * rate[i][0], kk[i][1] * rate[i][1], kk[i][2] * rate[i][2],
                                     kk[i][3] * rate[i][3]});
        }
      }
    }
    __syncthreads();
    if (first + kTile < rows) start(first + kTile);

    // sa = -S kk of the token to come; from the second token of a tile on it is found while S is written.
    float sa[4] = {0, 0, 0, 0};
    if constexpr (kVersion == 7) {
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        const float4 n4 = load4(&s.minus_kk[0][16 * q + 4 * part]);
        const float n[4] = {n4.x, n4.y, n4.z, n4.w};
#pragma unroll
        for (int e = 0; e < 4; ++e) {
#pragma unroll
          for (int i = 0; i < 4; ++i) sa[i] = fmaf(x[q][e][i], n[e], sa[i]);
        }
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) sa[i] = over_keys(sa[i]);
    }
#pragma unroll 1
    for (int t = 0; t < tokens; ++t) {
      const float4 v4 = load4(&s.value[t][4 * group]);
      const float values[4] = {v4.x, v4.y, v4.z, v4.w};
      float y[4] = {0, 0, 0, 0}, next[4] = {0, 0, 0, 0};
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        const int c = 16 * q + 4 * part;
        const float4 w4 = load4(&s.w[t][c]), k4 = load4(&s.key[t][c]), r4 = load4(&s.receptance[t][c]);
        const float wv[4] = {w4.x, w4.y, w4.z, w4.w}, kv[4] = {k4.x, k4.y, k4.z, k4.w},
                    rv[4] = {r4.x, r4.y, r4.z, r4.w};
        float bv[4], nv[4];
        if constexpr (kVersion == 7) {
          const float4 b4 = load4(&s.kk_a[t][c]), n4 = load4(&s.minus_kk[t + 1][c]);
          bv[0] = b4.x, bv[1] = b4.y, bv[2] = b4.z, bv[3] = b4.w;
          nv[0] = n4.x, nv[1] = n4.y, nv[2] = n4.z, nv[3] = n4.w;
        }
#pragma unroll
        for (int e = 0; e < 4; ++e) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            if constexpr (kVersion == 7) {
              const float moved = fmaf(values[i], kv[e], fmaf(sa[i], bv[e], x[q][e][i] * wv[e]));
              x[q][e][i] = moved;
              y[i] = fmaf(moved, rv[e], y[i]);
              next[i] = fmaf(moved, nv[e], next[i]);
            } else {
              y[i] = fmaf(x[q][e][i], rv[e], y[i]);
              x[q][e][i] = fmaf(x[q][e][i], wv[e], kv[e] * values[i]);
            }
          }
        }
      }
      // Summed over the four lanes so that each keeps one value: three exchanges for four sums.
      const bool odd = part & 1, high = part & 2;
      const float low_pair = (odd ? y[1] : y[0]) + __shfl_xor_sync(0xffffffffu, odd ? y[0] : y[1], 1);
      const float high_pair = (odd ? y[3] : y[2]) + __shfl_xor_sync(0xffffffffu, odd ? y[2] : y[3], 1);
      s.y[t][4 * group + part] =
          (high ? high_pair : low_pair) + __shfl_xor_sync(0xffffffffu, high ? low_pair : high_pair, 2);
      if constexpr (kVersion == 7) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sa[i] = over_keys(next[i]);
      }
    }
    __syncthreads();

    {
      float y[2][4], mean = 0;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int c = channel + 32 * i;
        const float4 y4 = load4(&s.y[token][c]), v4 = load4(&s.value[token][c]);
        y[i][0] = y4.x, y[i][1] = y4.y, y[i][2] = y4.z, y[i][3] = y4.w;
        if constexpr (kVersion != 7) {  // the bonus is part of what is normalised
          y[i][0] = fmaf(bonus, v4.x, y[i][0]), y[i][1] = fmaf(bonus, v4.y, y[i][1]);
          y[i][2] = fmaf(bonus, v4.z, y[i][2]), y[i][3] = fmaf(bonus, v4.w, y[i][3]);
        }
        mean += (y[i][0] + y[i][1]) + (y[i][2] + y[i][3]);
      }
      mean = over_token(mean) / kSize;
      float variance = 0;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          y[i][e] -= mean;
          variance = fmaf(y[i][e], y[i][e], variance);
        }
      }
      variance = over_token(variance) / kSize;
      const float inverse = 1.0f / sqrtf(variance + p.group_eps);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int c = channel + 32 * i;
        const float4 gw = load4(p.group_weight + column + c), gb = load4(p.group_bias + column + c);
        float4 o = {fmaf(y[i][0] * inverse, gw.x, gb.x), fmaf(y[i][1] * inverse, gw.y, gb.y),
                    fmaf(y[i][2] * inverse, gw.z, gb.z), fmaf(y[i][3] * inverse, gw.w, gb.w)};
        if constexpr (kVersion == 7) {
          const float4 v4 = load4(&s.value[token][c]);
          o = {fmaf(bonus, v4.x, o.x), fmaf(bonus, v4.y, o.y), fmaf(bonus, v4.z, o.z),
               fmaf(bonus, v4.w, o.w)};
        }
        if (g != nullptr) {
          const float4 g4 = load4(&s.g[first / kTile % 2][token][c]);
          o = {o.x * g4.x, o.y * g4.y, o.z * g4.z, o.w * g4.w};
        }
        if (token < tokens) store4(out + (first + token) * p.out_stride + c, o);
      }
    }
  }

#pragma unroll
  for (int q = 0; q < 4; ++q) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      store4(state + (16 * q + 4 * part + e) * kSize + 4 * group,
             {x[q][e][0], x[q][e][1], x[q][e][2], x[q][e][3]});
    }
  }
}

template <int kVersion>
void launch(const HeadsArgs& args, Tensor::Type inner, Tensor::Type out, std::size_t pieces,
            cudaStream_t stream) {
  with_type(inner, [&]<typename T>() {
    with_type(out, [&]<typename Out>() {
      const auto kernel = heads64_kernel<kVersion, T, Out>;
      constexpr int kBytes = sizeof(Shared<T>);
      DECIBAN_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
      kernel<<<static_cast<unsigned>(pieces * args.heads), kThreads, kBytes, stream>>>(args);
    });
  });
  DECIBAN_LAUNCHED("wkv_heads64");
}

}  // namespace

void wkv_heads64(int version, const HeadsArgs& args, Tensor::Type inner, Tensor::Type out, std::size_t pieces,
                 cudaStream_t stream) {
  if (version == 7) {
    launch<7>(args, inner, out, pieces, stream);
  } else {
    launch<5>(args, inner, out, pieces, stream);
  }
}

}  // namespace deciban::cuda
