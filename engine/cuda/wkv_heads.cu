// The recurrences of RWKV-5, 6 and 7: their host sides, and a plain kernel for head sizes other than 64 (none
// is published): a thread a value, the state in memory.
#include "engine/cuda/check.h"
#include "engine/cuda/wkv_heads.cuh"

namespace deciban::cuda {
namespace {

constexpr int kMostSize = 256;

__device__ float block_sum(float x, float* shared) {
  x = warp_sum(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
  __syncthreads();
  float total = 0;
  for (unsigned i = 0; i < blockDim.x / 32; ++i) total += shared[i];
  return total;
}

template <int kVersion, typename T, typename Out>
__global__ void heads_kernel(const __grid_constant__ HeadsArgs p) {
  __shared__ float r[kMostSize], w[kMostSize], k[kMostSize], kk[kMostSize], rate[kMostSize], sums[32];
  const int4 piece = p.pieces[blockIdx.x / p.heads];
  const int head = blockIdx.x % p.heads, n = p.size, i = threadIdx.x, c = head * n + i;
  const bool mine = i < n;
  float* state = p.state + piece.z * p.slot_stride + static_cast<std::size_t>(head) * n * n;
  for (std::size_t t = piece.x; t < static_cast<std::size_t>(piece.x + piece.y); ++t) {
    float v = 0, bonus = 0, squares = 0;
    __syncthreads();
    if (mine) {
      const float k0 = to_float(static_cast<const T*>(p.k)[t * p.k_stride + c]);
      r[i] = to_float(static_cast<const T*>(p.r)[t * p.r_stride + c]);
      w[i] = p.w != nullptr ? p.w[t * p.w_stride + c] : p.decay[c];
      v = to_float(static_cast<const T*>(p.v)[t * p.v_stride + c]);
      if constexpr (kVersion == 7) {
        rate[i] = to_float(static_cast<const T*>(p.a)[t * p.a_stride + c]);
        kk[i] = k0 * p.k_k[c];
        squares = kk[i] * kk[i];
        k[i] = k0 * fmaf(rate[i] - 1.0f, p.k_a[c], 1.0f);
        bonus = r[i] * k[i] * p.r_k[c];
      } else {
        k[i] = k0;
        bonus = r[i] * p.bonus[c] * k0;
      }
    }
    bonus = block_sum(bonus, sums);
    if constexpr (kVersion == 7) {
      const float length = fmaxf(sqrtf(block_sum(squares, sums)), 1e-12f);
      if (mine) kk[i] /= length;
    }
    __syncthreads();
    float y = 0;
    if (mine) {
      float sa = 0;
      if constexpr (kVersion == 7) {
        for (int j = 0; j < n; ++j) sa = fmaf(state[j * n + i], -kk[j], sa);
      }
      for (int j = 0; j < n; ++j) {
        float& s = state[j * n + i];
        if constexpr (kVersion == 7) {
          s = fmaf(v, k[j], fmaf(sa, kk[j] * rate[j], s * w[j]));
          y = fmaf(s, r[j], y);
        } else {
          y = fmaf(s, r[j], y);
          s = fmaf(s, w[j], k[j] * v);
        }
      }
      if constexpr (kVersion != 7) y = fmaf(bonus, v, y);
    }
    const float mean = block_sum(y, sums) / n;
    const float off = mine ? y - mean : 0.0f;
    const float inverse = 1.0f / sqrtf(block_sum(off * off, sums) / n + p.group_eps);
    if (mine) {
      float o = fmaf(off * inverse, p.group_weight[c], p.group_bias[c]);
      if constexpr (kVersion == 7) o = fmaf(bonus, v, o);
      if (p.g != nullptr) o *= to_float(static_cast<const T*>(p.g)[t * p.g_stride + c]);
      static_cast<Out*>(p.out)[t * p.out_stride + c] = from_float<Out>(o);
    }
  }
}

void run(int version, const HeadsArgs& args, const Tensor& r, const Tensor& out, const DeviceLayout& layout,
         cudaStream_t stream) {
  if (args.size == 64) return wkv_heads64(version, args, r.type, out.type, layout.pieces, stream);
  if (args.size > kMostSize)
    throw std::runtime_error("CUDA: heads of more than 256 channels are not computed");
  const int threads = (args.size + 31) / 32 * 32;
  const auto blocks = static_cast<unsigned>(layout.pieces * args.heads);
  with_type(r.type, [&]<typename T>() {
    with_type(out.type, [&]<typename Out>() {
      if (version == 7) {
        heads_kernel<7, T, Out><<<blocks, threads, 0, stream>>>(args);
      } else {
        heads_kernel<5, T, Out><<<blocks, threads, 0, stream>>>(args);
      }
    });
  });
  DECIBAN_LAUNCHED("wkv_heads");
}

HeadsArgs common(const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w, const Tensor& g,
                 const Norm& group, std::size_t heads, std::size_t size, const DeviceLayout& layout,
                 StateView state, const Tensor& out) {
  HeadsArgs a{};
  a.r = r.data, a.k = k.data, a.v = v.data, a.g = g.data;
  a.w = w.f32();
  a.r_stride = r.stride, a.k_stride = k.stride, a.v_stride = v.stride, a.g_stride = g.stride;
  a.w_stride = w.stride;
  a.group_weight = group.weight->data(), a.group_bias = group.bias->data(), a.group_eps = group.eps;
  a.pieces = layout.table;
  a.heads = static_cast<int>(heads), a.size = static_cast<int>(size);
  a.state = state.data + state.offset, a.slot_stride = state.stride;
  a.out = out.data, a.out_stride = out.stride;
  return a;
}

}  // namespace

void wkv5(const Wkv5Params& params, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
          const Tensor& g, const DeviceLayout& layout, StateView state, const Tensor& out,
          cudaStream_t stream) {
  HeadsArgs a = common(r, k, v, w, g, params.group, params.heads, params.head_size, layout, state, out);
  a.decay = params.decay == nullptr ? nullptr : params.decay->data();
  a.bonus = params.bonus->data();
  run(5, a, r, out, layout, stream);
}

void wkv7(const Wkv7Params& params, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
          const Tensor& a, const Tensor& g, const DeviceLayout& layout, StateView state, const Tensor& out,
          cudaStream_t stream) {
  HeadsArgs args = common(r, k, v, w, g, params.group, params.heads, params.head_size, layout, state, out);
  args.a = a.data, args.a_stride = a.stride;
  args.k_k = params.k_k->data(), args.k_a = params.k_a->data(), args.r_k = params.r_k->data();
  run(7, args, r, out, layout, stream);
}

}  // namespace deciban::cuda
