// How a warpgroup writes its part of a product's tile, as Wgmma's accumulators hold it, through an epilogue.
#pragma once

#include "engine/cuda/epilogue.cuh"

namespace deciban::cuda {

// Epilogues that models use have code of their own, without a decision in the loop; `kAny` serves all others.
enum class Width {
  wide,
  narrow,
  any
};  // of y and of what it is combined with: f32, bf16 or f16, decided late

__device__ __forceinline__ float4 widened(uint2 raw, bool is_bf16) {
  if (is_bf16) {
    return {__uint_as_float(raw.x << 16), __uint_as_float(raw.x & 0xffff0000u), __uint_as_float(raw.y << 16),
            __uint_as_float(raw.y & 0xffff0000u)};
  }
  f16 v[4];
  memcpy(v, &raw, 8);
  return {to_float(v[0]), to_float(v[1]), to_float(v[2]), to_float(v[3])};
}
__device__ __forceinline__ void store_narrow(void* at, bool is_bf16, float4 v) {
  if (is_bf16) {
    store4(static_cast<bf16*>(at), v);
  } else {
    store4(static_cast<f16*>(at), v);
  }
}

// The thread's part of a tile to y: rows `row` and `row` + 8.
template <int kColumns, Epilogue::Act kAct, Epilogue::Combine kCombine, Width kWidth>
__device__ __forceinline__ void write_tile(const Finish& f, int rows, int columns,
                                           const float (&d)[kColumns / 2], int row, int column) {
  using enum Epilogue::Combine;
  const int quad = threadIdx.x % 4;
  const bool odd = quad & 1;
  // Of columns 8 j … 8 j + 15 a lane has 2 quad and 2 quad + 1 of either half; neighbours swap halves, so
  // that each has four columns in a row and the four lanes of a row fill whole sectors.
  column += 8 * odd + 4 * (quad / 2);
  constexpr int kBytes = kWidth == Width::wide ? 4 : 2;
  const auto at = [&](const View& v, int r) {
    return static_cast<char*>(v.data) + (r * v.stride + column) * kBytes;
  };
  const bool y_bf16 = f.y.type == Tensor::Type::bf16, base_bf16 = f.base.type == Tensor::Type::bf16,
             target_bf16 = f.target.type == Tensor::Type::bf16;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row + 8 * half;
    const bool inside = r < rows;
    char* y = at(f.y, r);
    const char *base = at(f.base, r), *target = at(f.target, r);
    const char* gates = static_cast<char*>(f.gate.data) + (r * f.gate.stride + column) * 2;
    // What y is combined with is loaded for several places at once: a store could change what is behind the
    // next load, so the compiler would wait for every one.
    constexpr int kBatch = kColumns / 16 < 8 ? kColumns / 16 : 8;
#pragma unroll
    for (int first = 0; first < kColumns / 8; first += 2 * kBatch) {
      float4 old[kBatch];
      uint2 one[kBatch], other[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int j = first + 2 * b;
        if (!inside || column + 8 * j >= columns) continue;
        if constexpr (kCombine == add || kCombine == gate_add) {
          old[b] = load4(reinterpret_cast<const float*>(y + 8 * j * kBytes));
        }
        if constexpr (kCombine == gate_add || kCombine == gate)
          one[b] = *reinterpret_cast<const uint2*>(gates + 16 * j);
        if constexpr (kCombine == lerp) {
          one[b] = *reinterpret_cast<const uint2*>(base + 16 * j);
          other[b] = *reinterpret_cast<const uint2*>(target + 16 * j);
        }
      }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int j = first + 2 * b;
        const float a0 = d[4 * j + 2 * half], a1 = d[4 * j + 2 * half + 1];
        const float b0 = d[4 * j + 4 + 2 * half], b1 = d[4 * j + 5 + 2 * half];
        const float got0 = __shfl_xor_sync(0xffffffffu, odd ? a0 : b0, 1);
        const float got1 = __shfl_xor_sync(0xffffffffu, odd ? a1 : b1, 1);
        const int c = column + 8 * j;
        if (!inside || c >= columns) continue;
        float4 p = scaled4(f, odd ? float4{got0, got1, b0, b1} : float4{a0, a1, got0, got1}, c);
        if constexpr (kWidth == Width::any) {
          combine4(f,
                   {activate(f.act, p.x), activate(f.act, p.y), activate(f.act, p.z), activate(f.act, p.w)},
                   r, c);
          continue;
        }
        p = {fast_activate<kAct>(p.x), fast_activate<kAct>(p.y), fast_activate<kAct>(p.z),
             fast_activate<kAct>(p.w)};
        if constexpr (kCombine == add) {
          p = {old[b].x + p.x, old[b].y + p.y, old[b].z + p.z, old[b].w + p.w};
        } else if constexpr (kCombine == gate_add) {
          const float4 g = widened(one[b], f.gate.type == Tensor::Type::bf16);
          p = {fmaf(g.x, p.x, old[b].x), fmaf(g.y, p.y, old[b].y), fmaf(g.z, p.z, old[b].z),
               fmaf(g.w, p.w, old[b].w)};
        } else if constexpr (kCombine == gate) {
          const float4 g = widened(one[b], f.gate.type == Tensor::Type::bf16);
          p = {g.x * p.x, g.y * p.y, g.z * p.z, g.w * p.w};
        } else if constexpr (kCombine == lerp) {
          const float4 from = widened(one[b], base_bf16), to = widened(other[b], target_bf16);
          p = {fmaf(to.x - from.x, p.x, from.x), fmaf(to.y - from.y, p.y, from.y),
               fmaf(to.z - from.z, p.z, from.z), fmaf(to.w - from.w, p.w, from.w)};
        }
        if constexpr (kWidth == Width::wide) {
          store4(reinterpret_cast<float*>(y + 8 * j * kBytes), p);
        } else {
          store_narrow(y + 8 * j * kBytes, y_bf16, p);
        }
      }
    }
  }
}

// What write_tile() has code of its own for; all else takes more registers and time.
__host__ __device__ inline bool has_own_code(const Finish& f) {
  using Act = Epilogue::Act;
  using Combine = Epilogue::Combine;
  const auto wide = [](const View& v) { return v.type == Tensor::Type::f32; };
  if (f.combine == Combine::store && wide(f.y)) {
    return f.act == Act::none || f.act == Act::decay7 || f.act == Act::exp_neg_exp;
  }
  if (f.combine == Combine::store) {
    return f.act == Act::none || f.act == Act::relu2 || f.act == Act::sigmoid || f.act == Act::tanh ||
           f.act == Act::silu || f.act == Act::relu || f.act == Act::gelu || f.act == Act::gelu_tanh;
  }
  if (f.combine == Combine::gate) return f.act == Act::silu && !wide(f.y) && !wide(f.gate);
  if (f.combine == Combine::add) return f.act == Act::none;
  if (f.combine == Combine::gate_add) return f.act == Act::none && !wide(f.gate);
  return f.combine == Combine::lerp && f.act == Act::sigmoid && !wide(f.y) && !wide(f.base) &&
         !wide(f.target);
}

// kAny: whether there may be epilogues that has_own_code() denies.
template <int kColumns, bool kAny = true>
__device__ __forceinline__ void write_tile(const Finish& f, int rows, int columns,
                                           const float (&d)[kColumns / 2], int row, int column) {
  using Act = Epilogue::Act;
  using Combine = Epilogue::Combine;
  const auto wide = [](const View& v) { return v.type == Tensor::Type::f32; };
  const auto go = [&]<Act kAct, Combine kCombine, Width kWidth>() {
    write_tile<kColumns, kAct, kCombine, kWidth>(f, rows, columns, d, row, column);
  };
  if (f.combine == Combine::store && wide(f.y)) {
    if (f.act == Act::none) return go.template operator()<Act::none, Combine::store, Width::wide>();
    if (f.act == Act::decay7) return go.template operator()<Act::decay7, Combine::store, Width::wide>();
    if (f.act == Act::exp_neg_exp)
      return go.template operator()<Act::exp_neg_exp, Combine::store, Width::wide>();
  } else if (f.combine == Combine::store) {
    if (f.act == Act::none) return go.template operator()<Act::none, Combine::store, Width::narrow>();
    if (f.act == Act::relu2) return go.template operator()<Act::relu2, Combine::store, Width::narrow>();
    if (f.act == Act::sigmoid) return go.template operator()<Act::sigmoid, Combine::store, Width::narrow>();
    if (f.act == Act::tanh) return go.template operator()<Act::tanh, Combine::store, Width::narrow>();
    if (f.act == Act::silu) return go.template operator()<Act::silu, Combine::store, Width::narrow>();
    if (f.act == Act::relu) return go.template operator()<Act::relu, Combine::store, Width::narrow>();
    if (f.act == Act::gelu) return go.template operator()<Act::gelu, Combine::store, Width::narrow>();
    if (f.act == Act::gelu_tanh)
      return go.template operator()<Act::gelu_tanh, Combine::store, Width::narrow>();
  } else if (f.combine == Combine::gate && f.act == Act::silu && !wide(f.y) && !wide(f.gate)) {
    return go.template operator()<Act::silu, Combine::gate, Width::narrow>();
  } else if (f.combine == Combine::add && f.act == Act::none) {
    return go.template operator()<Act::none, Combine::add, Width::wide>();
  } else if (f.combine == Combine::gate_add && f.act == Act::none && !wide(f.gate)) {
    return go.template operator()<Act::none, Combine::gate_add, Width::wide>();
  } else if (f.combine == Combine::lerp && f.act == Act::sigmoid && !wide(f.y) && !wide(f.base) &&
             !wide(f.target)) {
    return go.template operator()<Act::sigmoid, Combine::lerp, Width::narrow>();
  }
  if constexpr (kAny) go.template operator()<Act::none, Combine::store, Width::any>();
}

}  // namespace deciban::cuda
