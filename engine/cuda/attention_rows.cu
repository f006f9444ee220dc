// Rows on their way to attention: heads of q and k normed and turned, keys and values put into the cache;
// learned positions added.
#include <algorithm>

#include "engine/cuda/attention.h"
#include "engine/cuda/attention_append.cuh"
#include "engine/cuda/epilogue.cuh"
#include "engine/cuda/launch_after.cuh"

namespace deciban::cuda {
namespace {

constexpr int kWarps = 8;

template <typename T>
__device__ void store_pair(T* to, float a, float b) {
  if constexpr (std::is_same_v<T, float>) {
    *reinterpret_cast<float2*>(to) = {a, b};
  } else {
    const T pair[2] = {from_float<T>(a), from_float<T>(b)};
    unsigned raw;
    memcpy(&raw, pair, 4);
    *reinterpret_cast<unsigned*>(to) = raw;
  }
}

// A head's channels c and c + 1 of the lane, normed, turned and scaled, for all of its pairs.
template <typename X, typename Store>
__device__ void prepare_head(const AppendArgs& a, const X* x, const HeadNorm& norm, float scale,
                             const float2* turns, const Store& store) {
  const int lane = threadIdx.x % 32, size = a.kv.size, half = a.rotary / 2;
  float inverse = 1;
  if (norm.weight != nullptr) {
    float squares = 0;
    for (int c = lane; c < size; c += 32) squares = fmaf(to_float(x[c]), to_float(x[c]), squares);
    inverse = 1.0f / sqrtf(warp_sum(squares) / size + norm.eps);
  }
  const auto normed = [&](int c) {
    const float value = to_float(x[c]);
    return norm.weight == nullptr ? value : value * inverse * norm.weight[c];
  };
  for (int c = 2 * lane; c < a.kv.padded; c += 64) {
    float pair[2];
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int channel = c + e;
      float value = channel < size ? normed(channel) : 0.0f;
      if (channel < a.rotary) {
        const bool first = a.interleaved ? e == 0 : channel < half;
        const int i = a.interleaved ? channel / 2 : first ? channel : channel - half;
        const int other = a.interleaved ? channel ^ 1 : first ? channel + half : channel - half;
        const float2 turn = turns[i];
        const float across = normed(other) * turn.y;
        value = first ? value * turn.x - across : value * turn.x + across;
      }
      pair[e] = value * scale;
    }
    store(c, pair[0], pair[1]);
  }
}

// A block a row; a warp takes one head after the other.
template <typename X, typename T>
__global__ __launch_bounds__(32 * kWarps) void append_kernel(const __grid_constant__ AppendArgs a) {
  extern __shared__ float2 turns[];
  predecessors_done();
  const std::size_t row = blockIdx.x;
  if (row == 0 && threadIdx.x == 0 && a.counter != nullptr) *a.counter = 0;
  const int2 at = a.kv.rows[row];  // slot, position
  for (int i = threadIdx.x; i < a.rotary / 2; i += blockDim.x) {
    float sine, cosine;
    sincosf(__fmul_rn(static_cast<float>(at.y), a.frequencies[i]), &sine, &cosine);
    turns[i] = {cosine * a.magnitude, sine * a.magnitude};
  }
  __syncthreads();
  std::byte* page =
      a.kv.pages[static_cast<std::size_t>(at.x) * a.kv.page_stride + at.y / kPageTokens] + a.kv.offset;
  const int token = at.y % kPageTokens, size = a.kv.size;
  constexpr bool kNarrow = !std::is_same_v<T, float>;
  for (int h = threadIdx.x / 32; h < a.heads + 2 * a.kv_heads; h += kWarps) {
    if (h < a.heads) {
      T* out = static_cast<T*>(a.q_out) + (row * a.heads + h) * a.kv.padded;
      prepare_head(a, static_cast<const X*>(a.q) + row * a.q_stride + h * size, a.q_norm, a.scale, turns,
                   [&](int c, float first, float second) { store_pair(out + c, first, second); });
      continue;
    }
    const bool value = h >= a.heads + a.kv_heads;
    const int head = h - a.heads - (value ? a.kv_heads : 0);
    std::byte* out =
        page + static_cast<std::size_t>(head) * a.kv.head_bytes + (value ? a.kv.value_offset : 0);
    const auto store = [&](int c, float first, float second) {
      store_pair(reinterpret_cast<T*>(out + element_offset(a.kv.padded, kNarrow, token, c)), first, second);
    };
    if (!value) {
      prepare_head(a, static_cast<const X*>(a.k) + row * a.kv_stride + head * size, a.k_norm, 1.0f, turns,
                   store);
      continue;
    }
    const X* x = static_cast<const X*>(a.v) + row * a.kv_stride + head * size;
    for (int c = 2 * (threadIdx.x % 32); c < a.kv.padded; c += 64) {
      store(c, c < size ? to_float(x[c]) : 0.0f, c < size ? to_float(x[c + 1]) : 0.0f);
    }
  }
}

template <typename T>
__global__ void add_kernel(const T* table, int columns, const Token* rows, const int2* places,
                           std::size_t offset, float* x, std::size_t stride) {
  predecessors_done();
  const std::size_t chosen =
      rows != nullptr ? static_cast<std::size_t>(rows[blockIdx.x]) : places[blockIdx.x].y + offset;
  const T* from = table + chosen * columns;
  float* row = x + blockIdx.x * stride;
  for (int c = threadIdx.x; c < columns; c += blockDim.x) row[c] += to_float(from[c]);
}

void add(const CudaTable& table, const Token* rows, const int2* places, std::size_t offset, const Tensor& x,
         cudaStream_t stream) {
  const auto threads = static_cast<unsigned>(std::clamp<std::size_t>((x.columns + 31) / 32 * 32, 32, 256));
  with_type(table.type(), [&]<typename T>() {
    launch_after(add_kernel<T>, static_cast<unsigned>(x.rows), threads, 0, stream,
                 static_cast<const T*>(table.data()), static_cast<int>(x.columns), rows, places, offset,
                 x.f32(), x.stride);
  });
}

HeadNorm head_norm(const Norm& norm) {
  return {norm.weight == nullptr ? nullptr : norm.weight->data(), norm.eps};
}

}  // namespace

bool appends_pieces(const Attention& params, const KvView& kv) {
  return kv.type != Tensor::Type::f32 && kv.padded == kv.size && params.q_norm.weight == nullptr &&
         params.k_norm.weight == nullptr && params.rotary / 2 % (params.interleaved ? 4 : 8) == 0;
}

void append_rows(const Attention& params, const KvView& kv, const Tensor& q, const Tensor& k, const Tensor& v,
                 void* q_out, float2* turns, int* counter, cudaStream_t stream) {
  AppendArgs a{};
  a.kv = kv;
  a.q = q.data;
  a.k = k.data;
  a.v = v.data;
  a.rows = static_cast<int>(q.rows);
  a.q_stride = q.stride;
  a.kv_stride = k.stride;
  a.heads = static_cast<int>(params.heads);
  a.kv_heads = static_cast<int>(params.kv_heads);
  a.rotary = static_cast<int>(params.rotary);
  a.interleaved = params.interleaved;
  a.frequencies = params.rotary == 0 ? nullptr : params.frequencies->data();
  a.magnitude = params.magnitude;
  a.scale = params.scale;
  a.q_norm = head_norm(params.q_norm);
  a.k_norm = head_norm(params.k_norm);
  a.q_out = q_out;
  a.turns = turns;
  a.counter = counter;
  if (appends_pieces(params, kv)) return append_pieces(a, q.type, stream);
  with_type(q.type, [&]<typename X>() {
    with_type(kv.type, [&]<typename T>() {
      launch_after(append_kernel<X, T>, static_cast<unsigned>(q.rows), 32 * kWarps,
                   params.rotary / 2 * sizeof(float2), stream, a);
    });
  });
}

void add_table_rows(const CudaTable& table, const Token* rows, const Tensor& x, cudaStream_t stream) {
  add(table, rows, nullptr, 0, x, stream);
}

void add_table_positions(const CudaTable& table, const KvView& kv, std::size_t offset, const Tensor& x,
                         cudaStream_t stream) {
  add(table, nullptr, kv.rows, offset, x, stream);
}

}  // namespace deciban::cuda
