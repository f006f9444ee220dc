// Element types on the device: conversions, vectors of four, activations.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <stdexcept>
#include <type_traits>

#include "engine/ops.h"

namespace deciban::cuda {

using bf16 = __nv_bfloat16;
using f16 = __half;
using f8 = __nv_fp8_e4m3;

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __bfloat162float(x); }
__device__ inline float to_float(f16 x) { return __half2float(x); }
__device__ inline float to_float(f8 x) { return static_cast<float>(x); }

template <typename T>
__device__ inline T from_float(float x) {
  if constexpr (std::is_same_v<T, bf16>) {
    return __float2bfloat16_rn(x);
  } else if constexpr (std::is_same_v<T, f16>) {
    return __float2half_rn(x);
  } else if constexpr (std::is_same_v<T, f8>) {
    return f8(x);  // to nearest even, at most +-448; a NaN stays one
  } else {
    return x;
  }
}

// Four elements; the address must be a multiple of their size.
__device__ inline float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }
template <typename T>
__device__ inline float4 load4(const T* p) {
  const uint2 raw = *reinterpret_cast<const uint2*>(p);
  T v[4];
  memcpy(v, &raw, 8);
  return {to_float(v[0]), to_float(v[1]), to_float(v[2]), to_float(v[3])};
}
__device__ inline void store4(float* p, float4 v) { *reinterpret_cast<float4*>(p) = v; }
template <typename T>
__device__ inline void store4(T* p, float4 v) {
  const T narrow[4] = {from_float<T>(v.x), from_float<T>(v.y), from_float<T>(v.z), from_float<T>(v.w)};
  uint2 raw;
  memcpy(&raw, narrow, 8);
  *reinterpret_cast<uint2*>(p) = raw;
}

__device__ inline float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

__device__ inline float activate(Epilogue::Act act, float p) {
  switch (act) {
    case Epilogue::Act::none:
      return p;
    case Epilogue::Act::relu2: {
      const float m = p < 0.0f ? 0.0f : p;  // a NaN stays one
      return m * m;
    }
    case Epilogue::Act::sigmoid:
      return logistic(p);
    case Epilogue::Act::tanh:
      return tanhf(p);
    case Epilogue::Act::silu:
      return p * logistic(p);
    case Epilogue::Act::exp_neg_exp:
      return expf(-expf(p));
    case Epilogue::Act::decay7:
      return expf(-0.606531f * logistic(p));
    case Epilogue::Act::relu:
      return p < 0.0f ? 0.0f : p;
    case Epilogue::Act::gelu:
      return 0.5f * p * erfcf(-0.70710678f * p);
    case Epilogue::Act::gelu_tanh:
      return p * logistic(1.5957691216f * fmaf(0.044715f, p * p * p, p));
  }
  return p;
}

// The same with the special-function unit: relative errors of some 1e-6, far below the rounding of 16-bit
// operands.
__device__ inline float fast_logistic(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }
// The normal distribution's integral up to p: exp(-x^2) t P(t), t = 1 / (1 + 0.45 x), x = |p| / sqrt 2, is
// the half below -|p|, with P fitted for the least relative error (4e-7).
__device__ inline float fast_normal(float p) {
  const float x = fabsf(p) * 0.70710678f, t = __fdividef(1.0f, fmaf(0.45f, x, 1.0f));
  float poly = 0.06890262f;
  poly = fmaf(poly, t, -0.24888177f);
  poly = fmaf(poly, t, 0.22389862f);
  poly = fmaf(poly, t, 0.02624333f);
  poly = fmaf(poly, t, 0.19616434f);
  poly = fmaf(poly, t, 0.22578407f);
  poly = fmaf(poly, t, 0.25400394f);
  poly = fmaf(poly, t, 0.2538852f);
  const float tail = 0.5f * t * poly * __expf(-x * x);
  return p < 0.0f ? tail : 1.0f - tail;  // a NaN stays one
}
template <Epilogue::Act kAct>
__device__ inline float fast_activate(float p) {
  if constexpr (kAct == Epilogue::Act::relu2) {
    const float m = p < 0.0f ? 0.0f : p;
    return m * m;
  } else if constexpr (kAct == Epilogue::Act::sigmoid) {
    return fast_logistic(p);
  } else if constexpr (kAct == Epilogue::Act::tanh) {
    const float e = __expf(-2.0f * fabsf(p));
    // Near zero the quotient cancels; there the series is as good.
    const float square = p * p;
    const float near = fabsf(p) * (1.0f - square * (1.0f / 3.0f - square * (2.0f / 15.0f)));
    return copysignf(fabsf(p) < 0.04f ? near : __fdividef(1.0f - e, 1.0f + e), p);
  } else if constexpr (kAct == Epilogue::Act::silu) {
    return p * fast_logistic(p);
  } else if constexpr (kAct == Epilogue::Act::exp_neg_exp) {
    return __expf(-__expf(p));
  } else if constexpr (kAct == Epilogue::Act::decay7) {
    return __expf(-0.606531f * fast_logistic(p));
  } else if constexpr (kAct == Epilogue::Act::relu) {
    return p < 0.0f ? 0.0f : p;
  } else if constexpr (kAct == Epilogue::Act::gelu) {
    return p * fast_normal(p);
  } else if constexpr (kAct == Epilogue::Act::gelu_tanh) {
    return p * fast_logistic(1.5957691216f * fmaf(0.044715f, p * p * p, p));
  } else {
    return p;
  }
}
// Sum over a warp, the same in every lane.
__device__ inline float warp_sum(float x) {
  for (int lane = 16; lane > 0; lane /= 2) x += __shfl_xor_sync(0xffffffffu, x, lane);
  return x;
}

// Calls f.operator()<T>() with the type's element.
template <typename F>
void with_type(Tensor::Type type, const F& f) {
  switch (type) {
    case Tensor::Type::f32:
      return f.template operator()<float>();
    case Tensor::Type::bf16:
      return f.template operator()<bf16>();
    case Tensor::Type::f16:
      return f.template operator()<f16>();
  }
  throw std::logic_error("a tensor of no type");
}

}  // namespace deciban::cuda
