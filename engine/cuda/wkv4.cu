// The recurrence of RWKV-4 (rwkv.md §3.2): a thread a channel, tokens one after the other.
#include "engine/cuda/check.h"
#include "engine/cuda/epilogue.cuh"
#include "engine/cuda/launch.h"
#include "engine/cuda/launch_after.cuh"
#include "engine/cuda/wkv4.cuh"

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
  Wkv4State s{state[0], state[a.channels], state[2 * a.channels], state[3 * a.channels]};
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
      out[(first + i) * a.out_stride] = from_float<Out>(s.step(rs[i], ks[i], vs[i], w, u));
    }
  }
  state[0] = s.aa;
  state[a.channels] = s.bb;
  state[2 * a.channels] = s.pp;
  state[3 * a.channels] = s.lost;
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
