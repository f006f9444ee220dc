// One token of RWKV-4's recurrence in one channel (rwkv.md §3.2).
#pragma once

#include "engine/cuda/values.cuh"

namespace deciban::cuda {

// e^{a - max(a, b)} and e^{b - max(a, b)} from d = a - b.
__device__ inline void exp_pair(float d, float& ea, float& eb) {
  const float e = expf(-fabsf(d));
  ea = d > 0 ? 1.0f : e;
  eb = d > 0 ? e : 1.0f;
}

struct Wkv4State {
  float aa, bb, pp, lost;

  __device__ float step(float r, float k, float v, float w, float u) {
    float e1, e2;
    exp_pair((pp - (u + k)) + lost, e1, e2);
    const float top = fmaf(e1, aa, e2 * v), bottom = fmaf(e1, bb, e2);
    // What the running exponent loses to rounding is kept (Knuth's exact sum): see cpu/rows-inl.h.
    const float decayed = __fadd_rn(pp, w);
    const float w_rounded = __fsub_rn(decayed, pp);
    lost = __fadd_rn(lost, __fadd_rn(__fsub_rn(pp, __fsub_rn(decayed, w_rounded)), __fsub_rn(w, w_rounded)));
    const float d = (decayed - k) + lost;
    exp_pair(d, e1, e2);
    aa = fmaf(e1, aa, e2 * v);
    bb = fmaf(e1, bb, e2);
    pp = d > 0 ? decayed : k;
    lost = d > 0 ? lost : 0.0f;
    return r * (top / bottom);
  }
};

}  // namespace deciban::cuda
