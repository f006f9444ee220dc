// Keys and values into the cache, and queries on their way to products, where heads are whole pieces of eight
// channels and are not normed: bytes to be moved.  A thread takes a piece of some rows, all of which are on
// their way before the first is used.
#include <algorithm>

#include "engine/cuda/attention_append.cuh"
#include "engine/cuda/launch_after.cuh"
#include "engine/cuda/values.cuh"

namespace deciban::cuda {
namespace {

constexpr int kThreads = 256, kRows = 4;  // of a block

// Eight elements from a multiple of sixteen bytes on.
template <typename X>
struct Raw {
  uint4 words[sizeof(X) / 2];
  __device__ __forceinline__ void load(const X* x) {
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(X) / 2); ++i) words[i] = reinterpret_cast<const uint4*>(x)[i];
  }
  __device__ __forceinline__ void widen(float (&to)[8]) const {
    X v[8];
    memcpy(v, words, sizeof(v));
#pragma unroll
    for (int i = 0; i < 8; ++i) to[i] = to_float(v[i]);
  }
};

template <typename T>
__device__ __forceinline__ void store8(std::byte* to, const float (&x)[8], float scale) {
  T narrow[8];
#pragma unroll
  for (int e = 0; e < 8; ++e) narrow[e] = from_float<T>(x[e] * scale);
  uint4 raw;
  memcpy(&raw, narrow, 16);
  *reinterpret_cast<uint4*>(to) = raw;
}

template <typename X, typename T>
__global__ __launch_bounds__(kThreads, sizeof(X) == 2
                                           ? 4
                                           : 2) void append_kernel(const __grid_constant__ AppendArgs a) {
  extern __shared__ float2 turns[];  // [kRows][half]
  __shared__ std::byte* pages[kRows];
  __shared__ int tokens[kRows];
  predecessors_done();
  const int first = blockIdx.x * kRows, rows = min(kRows, a.rows - first), half = a.rotary / 2;
  if (static_cast<int>(threadIdx.x) < rows) {
    const int2 at = a.kv.rows[first + threadIdx.x];  // slot, position
    pages[threadIdx.x] =
        a.kv.pages[static_cast<std::size_t>(at.x) * a.kv.page_stride + at.y / kPageTokens] + a.kv.offset;
    tokens[threadIdx.x] = at.y % kPageTokens;
  }
  if (first == 0 && threadIdx.x == 0 && a.counter != nullptr) *a.counter = 0;
  for (int i = threadIdx.x; i < rows * half; i += kThreads) {
    float sine, cosine;
    sincosf(__fmul_rn(static_cast<float>(a.kv.rows[first + i / half].y), a.frequencies[i % half]), &sine,
            &cosine);
    turns[i] = {cosine * a.magnitude, sine * a.magnitude};
    if (a.turns != nullptr) a.turns[static_cast<std::size_t>(first) * half + i] = turns[i];
  }
  __syncthreads();
  const int size = a.kv.size, pieces = size / 8, queries = a.q_out == nullptr ? 0 : a.heads;
  for (int i = threadIdx.x; i < (queries + 2 * a.kv_heads) * pieces; i += kThreads) {
    const int h = i / pieces, piece = i % pieces, c = 8 * piece;
    const bool query = h < queries, value = h >= queries + a.kv_heads;
    const int head = query ? h : h - queries - (value ? a.kv_heads : 0);
    const std::size_t stride = query ? a.q_stride : a.kv_stride;
    const X* x = static_cast<const X*>(query   ? a.q
                                       : value ? a.v
                                               : a.k) +
                 first * stride + static_cast<std::size_t>(head) * size + c;
    const bool turned = !value && c < a.rotary, front = c < half;
    const int across = turned && !a.interleaved ? (front ? half : -half) : 0;
    Raw<X> raw[kRows], other[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (r < rows) raw[r].load(x + r * stride);
      if (r < rows && across != 0) other[r].load(x + r * stride + across);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (r >= rows) break;
      float own[8];
      raw[r].widen(own);
      if (turned) {
        const float2* by = turns + r * half;
        if (a.interleaved) {
#pragma unroll
          for (int e = 0; e < 8; e += 2) {
            const float2 turn = by[(c + e) / 2];
            const float one = own[e], two = own[e + 1];
            own[e] = one * turn.x - two * turn.y;
            own[e + 1] = two * turn.x + one * turn.y;
          }
        } else {
          float opposite[8];
          other[r].widen(opposite);
#pragma unroll
          for (int e = 0; e < 8; ++e) {
            const float2 turn = by[(front ? c : c - half) + e];
            const float over = opposite[e] * turn.y;
            own[e] = front ? own[e] * turn.x - over : own[e] * turn.x + over;
          }
        }
      }
      if (query) {
        T* to = static_cast<T*>(a.q_out) + (static_cast<std::size_t>(first + r) * a.heads + head) * size + c;
        store8<T>(reinterpret_cast<std::byte*>(to), own, a.scale);
      } else {
        store8<T>(pages[r] + static_cast<std::size_t>(head) * a.kv.head_bytes +
                      (value ? a.kv.value_offset : 0) + piece_offset(size, tokens[r], piece),
                  own, 1.0f);
      }
    }
  }
}

}  // namespace

void append_pieces(const AppendArgs& args, Tensor::Type x_type, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((args.rows + kRows - 1) / kRows);
  const std::size_t shared = static_cast<std::size_t>(kRows * args.rotary / 2) * sizeof(float2);
  with_type(x_type, [&]<typename X>() {
    const auto go = [&]<typename T>() {
      launch_after(append_kernel<X, T>, blocks, kThreads, shared, stream, args);
    };
    args.kv.type == Tensor::Type::bf16 ? go.template operator()<bf16>() : go.template operator()<f16>();
  });
}

}  // namespace deciban::cuda
