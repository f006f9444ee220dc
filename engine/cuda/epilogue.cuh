// What is done with a product before it is written (Epilogue of ops.h), on the device.
#pragma once

#include "engine/cuda/values.cuh"

namespace deciban::cuda {

// A tensor as kernels see it.
struct View {
  void* data = nullptr;
  std::size_t stride = 0;
  Tensor::Type type = Tensor::Type::f32;
  __host__ __device__ View row(std::size_t r) const {
    View v = *this;
    v.data = static_cast<char*>(data) + r * stride * (type == Tensor::Type::f32 ? 4 : 2);
    return v;
  }
};
inline View view(const Tensor& t) { return {t.data, t.stride, t.type}; }

struct Finish {
  Epilogue::Act act = Epilogue::Act::none;
  Epilogue::Combine combine = Epilogue::Combine::store;
  const float* scales = nullptr;  // i8 weights: the product's factor of each output
  const float* bias = nullptr;
  View y, gate, base, target;
};
inline Finish finish(const Epilogue& e, const Tensor& y, const float* scales) {
  return {e.act,   e.combine,    scales,       e.bias == nullptr ? nullptr : e.bias->data(),
          view(y), view(e.gate), view(e.base), view(e.target)};
}

__device__ inline float4 load4(const View& v, std::size_t row, std::size_t column) {
  const std::size_t at = row * v.stride + column;
  if (v.type == Tensor::Type::f32) return load4(static_cast<const float*>(v.data) + at);
  if (v.type == Tensor::Type::f16) return load4(static_cast<const f16*>(v.data) + at);
  return load4(static_cast<const bf16*>(v.data) + at);
}
__device__ inline void store4(const View& v, std::size_t row, std::size_t column, float4 x) {
  const std::size_t at = row * v.stride + column;
  if (v.type == Tensor::Type::f32) return store4(static_cast<float*>(v.data) + at, x);
  if (v.type == Tensor::Type::f16) return store4(static_cast<f16*>(v.data) + at, x);
  store4(static_cast<bf16*>(v.data) + at, x);
}
__device__ inline float load1(const View& v, std::size_t row, std::size_t column) {
  const std::size_t at = row * v.stride + column;
  if (v.type == Tensor::Type::f32) return static_cast<const float*>(v.data)[at];
  if (v.type == Tensor::Type::f16) return to_float(static_cast<const f16*>(v.data)[at]);
  return to_float(static_cast<const bf16*>(v.data)[at]);
}
__device__ inline void store1(const View& v, std::size_t row, std::size_t column, float x) {
  const std::size_t at = row * v.stride + column;
  if (v.type == Tensor::Type::f32) {
    static_cast<float*>(v.data)[at] = x;
  } else if (v.type == Tensor::Type::f16) {
    static_cast<f16*>(v.data)[at] = from_float<f16>(x);
  } else {
    static_cast<bf16*>(v.data)[at] = from_float<bf16>(x);
  }
}

// y[row][column …] from the product p after its activation.  Four columns at once may write into a row's
// padding.
__device__ inline void combine4(const Finish& f, float4 p, std::size_t row, std::size_t column) {
  if (f.combine == Epilogue::Combine::add) {
    const float4 y = load4(f.y, row, column);
    p = {y.x + p.x, y.y + p.y, y.z + p.z, y.w + p.w};
  } else if (f.combine == Epilogue::Combine::gate_add) {
    const float4 y = load4(f.y, row, column), g = load4(f.gate, row, column);
    p = {fmaf(g.x, p.x, y.x), fmaf(g.y, p.y, y.y), fmaf(g.z, p.z, y.z), fmaf(g.w, p.w, y.w)};
  } else if (f.combine == Epilogue::Combine::lerp) {
    const float4 b = load4(f.base, row, column), t = load4(f.target, row, column);
    p = {fmaf(t.x - b.x, p.x, b.x), fmaf(t.y - b.y, p.y, b.y), fmaf(t.z - b.z, p.z, b.z),
         fmaf(t.w - b.w, p.w, b.w)};
  } else if (f.combine == Epilogue::Combine::gate) {
    const float4 g = load4(f.gate, row, column);
    p = {g.x * p.x, g.y * p.y, g.z * p.z, g.w * p.w};
  }
  store4(f.y, row, column, p);
}
// What comes before the activation.
__device__ inline float4 scaled4(const Finish& f, float4 p, std::size_t column) {
  if (f.scales != nullptr) {
    const float4 s = __ldg(reinterpret_cast<const float4*>(f.scales + column));
    p = {p.x * s.x, p.y * s.y, p.z * s.z, p.w * s.w};
  }
  if (f.bias != nullptr) {
    const float4 b = __ldg(reinterpret_cast<const float4*>(f.bias + column));
    p = {p.x + b.x, p.y + b.y, p.z + b.z, p.w + b.w};
  }
  return p;
}
__device__ inline void write4(const Finish& f, float4 p, std::size_t row, std::size_t column) {
  p = scaled4(f, p, column);
  if (f.act != Epilogue::Act::none) {
    p = {activate(f.act, p.x), activate(f.act, p.y), activate(f.act, p.z), activate(f.act, p.w)};
  }
  combine4(f, p, row, column);
}

__device__ inline void write1(const Finish& f, float p, std::size_t row, std::size_t column) {
  if (f.scales != nullptr) p *= f.scales[column];
  if (f.bias != nullptr) p += f.bias[column];
  p = activate(f.act, p);
  if (f.combine == Epilogue::Combine::add) {
    p += load1(f.y, row, column);
  } else if (f.combine == Epilogue::Combine::gate_add) {
    p = fmaf(load1(f.gate, row, column), p, load1(f.y, row, column));
  } else if (f.combine == Epilogue::Combine::lerp) {
    const float b = load1(f.base, row, column);
    p = fmaf(load1(f.target, row, column) - b, p, b);
  } else if (f.combine == Epilogue::Combine::gate) {
    p *= load1(f.gate, row, column);
  }
  store1(f.y, row, column, p);
}

}  // namespace deciban::cuda
