// Matrix products: the loops around the tiles, and what is done with finished ones.  Included by kernels.cc
// alone.
#pragma once

#include "engine/cpu/kernels.h"
#include "engine/cpu/pack-inl.h"
#include "engine/cpu/simd.h"
#include "engine/cpu/tiles-inl.h"

namespace deciban::cpu {
namespace {

using namespace simd;

// A matrix operand as the row loops see it.
struct Operand {
  WeightFormat format;
  std::size_t inputs;
  const void* x;
  bool x_bf16;
  const float* x_scales;
  std::size_t x_stride, rows;
};

template <int R>
inline void tile_any(const Operand& o, std::size_t row, std::size_t first, std::size_t count,
                     const std::byte* panel, const float* wide, float* tile) {
  if (o.x_scales != nullptr) {
    tile_i8<R>(static_cast<const std::uint8_t*>(o.x) + row * o.x_stride, o.x_stride, o.x_scales + row, panel,
               o.inputs, tile);
    return;
  }
  if (o.x_bf16) {
    tile_bf16<R>(static_cast<const std::uint16_t*>(o.x) + row * o.x_stride + first, o.x_stride,
                 panel + first / 2 * kPanel * 4, count, tile);
    return;
  }
  const float* x = static_cast<const float*>(o.x) + row * o.x_stride + first;
  if (wide != nullptr) {
    tile_f32<R>(x, o.x_stride, wide, count, tile);
  } else if (o.format == WeightFormat::i8) {
    tile_widening<R, WeightFormat::i8>(x, o.x_stride, panel + first / 4 * kPanel * 4, count, tile);
  } else if (o.format == WeightFormat::f16) {
    tile_widening<R, WeightFormat::f16>(x, o.x_stride, panel + first * kPanel * 2, count, tile);
  } else {
    tile_widening<R, WeightFormat::bf16>(x, o.x_stride, panel + first / 2 * kPanel * 4, count, tile);
  }
}

inline void tile_rows(int rows, const Operand& o, std::size_t row, std::size_t first, std::size_t count,
                      const std::byte* panel, const float* wide, float* tile) {
  switch (rows) {
    case 1:
      return tile_any<1>(o, row, first, count, panel, wide, tile);
    case 2:
      return tile_any<2>(o, row, first, count, panel, wide, tile);
    case 3:
      return tile_any<3>(o, row, first, count, panel, wide, tile);
    case 4:
      return tile_any<4>(o, row, first, count, panel, wide, tile);
    case 5:
      return tile_any<(kRows >= 5 ? 5 : 1)>(o, row, first, count, panel, wide, tile);
    default:
      return tile_any<kRows>(o, row, first, count, panel, wide, tile);
  }
}

// Calls done(row, rows, tile) with the finished tile of every kRows rows of one panel.
// scratch: [kBlock or inputs + 1][kPanel] for widened weights, then [rows rounded up][kPanel] for sums set
// aside.
template <typename Done>
inline void for_each_tile(const Operand& o, const std::byte* panel, float* scratch, const Done& done) {
  if (o.x_scales != nullptr) {
    alignas(64) float tile[kRows * kPanel];
    for (std::size_t row = 0; row < o.rows; row += kRows) {
      const int rows = o.rows - row < kRows ? static_cast<int>(o.rows - row) : kRows;
      tile_rows(rows, o, row, 0, o.inputs, panel, nullptr, tile);
      done(row, rows, static_cast<const float*>(tile));
    }
    return;
  }
  const auto* scales = reinterpret_cast<const float*>(panel + (o.inputs + 3) / 4 * kPanel * 4);
  const std::size_t block = o.inputs < kBlock ? o.inputs : kBlock;
  float* sums = scratch + (block + 1) * kPanel;
  const bool widen_first = !o.x_bf16 && o.format != WeightFormat::f32 && o.rows >= 3 * kRows;
  alignas(64) float tile[kRows * kPanel];
  for (std::size_t first = 0; first < o.inputs || first == 0; first += block) {
    const std::size_t count = o.inputs - first < block ? o.inputs - first : block;
    const bool last = first + count == o.inputs;
    const float* wide = nullptr;
    if (!o.x_bf16 && o.format == WeightFormat::f32) {
      wide = reinterpret_cast<const float*>(panel) + first * kPanel;
    } else if (widen_first) {
      widen(o.format, panel, first, count, scratch);
      wide = scratch;
    }
    for (std::size_t row = 0; row < o.rows; row += kRows) {
      const int rows = o.rows - row < kRows ? static_cast<int>(o.rows - row) : kRows;
      float* t = last ? tile : sums + row * kPanel;
      if (first == 0) {
        for (std::size_t i = 0; i < rows * kPanel; i += kWidth) store(t + i, zero());
      } else if (last) {
        for (std::size_t i = 0; i < rows * kPanel; i += kWidth) store(t + i, load(sums + row * kPanel + i));
      }
      tile_rows(rows, o, row, first, count, panel, wide, t);
      if (!last) continue;
      if (o.format == WeightFormat::i8) {
        for (int r = 0; r < rows; ++r) {
          for (std::size_t c = 0; c < kPanel; c += kWidth) {
            store(t + r * kPanel + c, mul(load(t + r * kPanel + c), load(scales + c)));
          }
        }
      }
      done(row, rows, static_cast<const float*>(t));
    }
    if (last) break;
  }
}

inline V apply(Epilogue::Act act, V p) {
  switch (act) {
    case Epilogue::Act::none:
      return p;
    case Epilogue::Act::relu2: {
      const V m = max(zero(), p);  // in this order a NaN stays one
      return mul(m, m);
    }
    case Epilogue::Act::sigmoid:
      return sigmoid(p);
    case Epilogue::Act::tanh:
      return tanh(p);
    case Epilogue::Act::silu:
      return mul(p, sigmoid(p));
    case Epilogue::Act::exp_neg_exp:
      return exp(sub(zero(), exp(p)));
    case Epilogue::Act::decay7:
      return exp(mul(set(-0.606531f), sigmoid(p)));
  }
  return p;
}

inline void write_tile(const LinearArgs& a, std::size_t panel, std::size_t row, int rows, const float* tile) {
  const std::size_t column = panel * kPanel;
  const std::size_t columns = a.outputs - column < kPanel ? a.outputs - column : kPanel;
  for (int r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; c += kWidth) {
      V p = load(tile + r * kPanel + c);
      const std::size_t at = column + c;
      if (a.bias != nullptr) p = add(p, load(a.bias + at));
      p = apply(a.act, p);
      if (a.combine == Epilogue::Combine::lerp) {
        const V base = load(a.base + (row + r) * a.base_stride + at);
        p = fma(sub(load(a.target + (row + r) * a.target_stride + at), base), p, base);
      }
      if (a.y_bf16) {
        store_bf16(static_cast<std::uint16_t*>(a.y) + (row + r) * a.y_stride + at, p);
        continue;
      }
      float* y = static_cast<float*>(a.y) + (row + r) * a.y_stride + at;
      if (a.combine == Epilogue::Combine::add) p = add(load(y), p);
      if (a.combine == Epilogue::Combine::gate_add) {
        p = fma(load(a.gate + (row + r) * a.gate_stride + at), p, load(y));
      }
      store(y, p);
    }
  }
}

void linear(const LinearArgs& a) {
  const Operand operand{a.format, a.inputs, a.x, a.x_bf16, a.x_scales, a.x_stride, a.rows};
  const std::size_t bytes = panel_bytes(a.format, a.inputs, kPanel);
  for (std::size_t p = a.panel_begin; p < a.panel_end; ++p) {
    for_each_tile(operand, a.packed + p * bytes, a.scratch,
                  [&](std::size_t row, int rows, const float* tile) { write_tile(a, p, row, rows, tile); });
  }
}

// Running values by lane: [row][4][kWidth] = maximum, sum, best value's column (as float bits of an int),
// unused.
void head(const HeadArgs& a) {
  const Operand operand{a.format, a.inputs, a.x, a.x_bf16, a.x_scales, a.x_stride, a.rows};
  const std::size_t bytes = panel_bytes(a.format, a.inputs, kPanel);
  const std::size_t block = a.inputs < kBlock ? a.inputs : kBlock;
  float* lanes = a.scratch + (block + 1 + a.rows + 8) * kPanel;
  constexpr float kNothing = -1e30f;  // below any logit; finite, so that differences stay finite
  for (std::size_t r = 0; r < a.rows; ++r) {
    store(lanes + (r * 3 + 0) * kWidth, set(kNothing));
    store(lanes + (r * 3 + 1) * kWidth, zero());
    store(lanes + (r * 3 + 2) * kWidth, zero());
    a.partials[r].target = 0;
  }
  for (std::size_t p = a.panel_begin; p < a.panel_end; ++p) {
    const std::size_t column = p * kPanel;
    const std::size_t columns = a.outputs - column < kPanel ? a.outputs - column : kPanel;
    for_each_tile(operand, a.packed + p * bytes, a.scratch,
                  [&](std::size_t row, int rows, const float* tile) {
                    for (int r = 0; r < rows; ++r) {
                      const float* logits = tile + r * kPanel;
                      const std::size_t target = static_cast<std::size_t>(a.targets[row + r]);
                      if (target >= column && target < column + columns)
                        a.partials[row + r].target = logits[target - column];
                      alignas(64) float masked[kPanel];
                      if (columns < kPanel) {
                        for (std::size_t c = 0; c < kPanel; ++c)
                          masked[c] = c < columns ? logits[c] : kNothing;
                        logits = masked;
                      }
                      float* lane = lanes + (row + r) * 3 * kWidth;
                      V most = load(lane);
                      V where = load(lane + 2 * kWidth);
                      V higher = most;
                      V v[kVectors];
#pragma GCC unroll 8
                      for (int i = 0; i < kVectors; ++i) {
                        v[i] = load(logits + i * kWidth);
                        const M above = greater(v[i], higher);
                        where = select(above, set(static_cast<float>(column / kWidth + i)),
                                       where);  // exact below 2^24 vectors
                        higher = max(higher, v[i]);
                      }
                      V total = load(lane + kWidth);
                      if (any(greater(higher, most))) total = mul(total, exp(sub(most, higher)));
#pragma GCC unroll 8
                      for (int i = 0; i < kVectors; ++i) total = add(total, exp(sub(v[i], higher)));
                      store(lane, higher);
                      store(lane + kWidth, total);
                      store(lane + 2 * kWidth, where);
                    }
                  });
  }
  for (std::size_t r = 0; r < a.rows; ++r) {
    const float* lane = lanes + r * 3 * kWidth;
    HeadPartial& out = a.partials[r];
    out.max = kNothing;
    out.best = 0;
    for (int i = 0; i < kWidth; ++i) {
      const Token id = static_cast<Token>(lane[2 * kWidth + i]) * kWidth + i;
      if (lane[i] > out.max || (lane[i] == out.max && id < out.best)) {
        out.max = lane[i];
        out.best = id;
      }
    }
    out.sum = sum(mul(load(lane + kWidth), exp(sub(load(lane), set(out.max)))));
    // A NaN logit never wins a comparison but must not pass unseen.
    for (int i = 0; i < kWidth; ++i) {
      if (lane[kWidth + i] != lane[kWidth + i]) out.sum = lane[kWidth + i];
    }
  }
}

}  // namespace
}  // namespace deciban::cpu
