// The recurrence of RWKV-4 (rwkv.md §3.2): a thread a channel, tokens one after the other.
#include "engine/cuda/check.h"
#include "engine/cuda/epilogue.cuh"
#include "engine/cuda/launch.h"
#include "engine/cuda/launch_after.cuh"

namespace deciban::cuda {
namespace {

constexpr int kAhead = 8;  // tokens loaded together, so that memory is waited for once

struct Wkv4Args {
  const void *r, *k, *v;
  std::size_t r_stride, k_stride, v_stride;
  const float *w, *u;
  const int4* pieces;
  float* state;
  std::size_t slot_stride;
  int channels;
  void* out;
  std::size_t out_stride;
};

// e^{a - max(a, b)} and e^{b - max(a, b)} from d = a - b.
__device__ void exp_pair(float d, float& ea, float& eb) {
  const float e = expf(-fabsf(d));
  ea = d > 0 ? 1.0f : e;
  eb = d > 0 ? e : 1.0f;
}

template <typename T, typename Out>
__global__ void wkv4_kernel(const __grid_constant__ Wkv4Args a) {
  predecessors_done();
  const int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= a.channels) return;
  const int4 piece = a.pieces[blockIdx.y];
  const std::size_t row = static_cast<std::size_t>(piece.x);
  const T* r = static_cast<const T*>(a.r) + row * a.r_stride + c;
  const T* k = static_cast<const T*>(a.k) + row * a.k_stride + c;
  const T* v = static_cast<const T*>(a.v) + row * a.v_stride + c;
  Out* out = static_cast<Out*>(a.out) + row * a.out_stride + c;
  float* state = a.state + piece.z * a.slot_stride + c;
  float aa = state[0], bb = state[a.channels], pp = state[2 * a.channels], lost = state[3 * a.channels];
  const float w = a.w[c], u = a.u[c];
  for (int first = 0; first < piece.y; first += kAhead) {
    float rs[kAhead], ks[kAhead], vs[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const std::size_t t = min(first + i, piece.y - 1);
      rs[i] = to_float(r[t * a.r_stride]);
      ks[i] = to_float(k[t * a.k_stride]);
      vs[i] = to_float(v[t * a.v_stride]);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (first + i >= piece.y) break;
      float e1, e2;
      exp_pair((pp - (u + ks[i])) + lost, e1, e2);
      const float top = fmaf(e1, aa, e2 * vs[i]), bottom = fmaf(e1, bb, e2);
      out[(first + i) * a.out_stride] = from_float<Out>(rs[i] * (top / bottom));
      // What the running exponent loses to rounding is kept (Knuth's exact sum): see cpu/rows-inl.h.
      const float decayed = __fadd_rn(pp, w);
      const float w_rounded = __fsub_rn(decayed, pp);
      lost =
          __fadd_rn(lost, __fadd_rn(__fsub_rn(pp, __fsub_rn(decayed, w_rounded)), __fsub_rn(w, w_rounded)));
      const float d = (decayed - ks[i]) + lost;
      exp_pair(d, e1, e2);
      aa = fmaf(e1, aa, e2 * vs[i]);
      bb = fmaf(e1, bb, e2);
      pp = d > 0 ? decayed : ks[i];
      lost = d > 0 ? lost : 0.0f;
    }
  }
  state[0] = aa;
  state[a.channels] = bb;
  state[2 * a.channels] = pp;
  state[3 * a.channels] = lost;
}

}  // namespace

void wkv4(const Tensor& r, const Tensor& k, const Tensor& v, const Vector& w, const Vector& u,
          const DeviceLayout& layout, StateView state, const Tensor& out, cudaStream_t stream) {
  Wkv4Args a{.r = r.data,
             .k = k.data,
             .v = v.data,
             .r_stride = r.stride,
             .k_stride = k.stride,
             .v_stride = v.stride,
             .w = w.data(),
             .u = u.data(),
             .pieces = layout.table,
             .state = state.data + state.offset,
             .slot_stride = state.stride,
             .channels = static_cast<int>(r.columns),
             .out = out.data,
             .out_stride = out.stride};
  constexpr int kThreads = 64;
  const dim3 grid(static_cast<unsigned>((r.columns + kThreads - 1) / kThreads),
                  static_cast<unsigned>(layout.pieces));
  with_type(r.type, [&]<typename T>() {
    with_type(out.type,
              [&]<typename Out>() { launch_after(wkv4_kernel<T, Out>, grid, kThreads, 0, stream, a); });
  });
}

}  // namespace deciban::cuda
