// Matrix products: the loops around the tiles, and what is done with finished ones.  Included by kernels.cc
// alone.
#pragma once

#include "engine/cpu/kernels.h"
#include "engine/cpu/pack-inl.h"
#include "engine/cpu/simd.h"
#include "engine/cpu/tiles-inl.h"
#if defined(__aarch64__)
#include "engine/cpu/tiles_neon-inl.h"
#else
#include "engine/cpu/tiles_x86-inl.h"
#endif

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

inline std::size_t packed_bytes(const Operand& o, std::size_t inputs) {  // of a panel, without scales of i8
  if (o.format == WeightFormat::f32) return inputs * kPanel * 4;
  if (o.format == WeightFormat::i8) return (inputs + 3) / 4 * kPanel * 4;
  if (group_of(o.format) != 0) return panel_bytes(o.format, inputs, kPanel);
  return (inputs + 1) / 2 * kPanel * 4;
}

// One tile's work: rows from `row` on, inputs [first, first + count) of a panel.
struct TileWork {
  std::size_t row, first, count;
  const std::byte* panel;
  const float* wide;  // those inputs of the panel as f32, or null
  Ahead ahead;
  const float* start;  // sums of the inputs before, or null
  float* tile;
};

template <int R>
inline void tile_any(const Operand& o, const TileWork& t) {
  if (o.x_scales != nullptr) {
    tile_i8<R>(static_cast<const std::uint8_t*>(o.x) + t.row * o.x_stride, o.x_stride, o.x_scales + t.row,
               t.panel, o.inputs, t.ahead, t.tile);
    return;
  }
  if (o.x_bf16) {
    tile_bf16<R>(static_cast<const std::uint16_t*>(o.x) + t.row * o.x_stride + t.first, o.x_stride,
                 t.panel + t.first / 2 * kPanel * 4, t.count, t.ahead, t.start, t.tile);
    return;
  }
  const float* x = static_cast<const float*>(o.x) + t.row * o.x_stride + t.first;
  if (t.wide != nullptr) {
    tile_f32<R>(x, o.x_stride, t.wide, t.count, t.ahead, t.start, t.tile);
  } else if (o.format == WeightFormat::i4) {
    tile_groups<R, WeightFormat::i4>(x, o.x_stride, t.panel + packed_bytes(o, t.first), t.count, t.ahead,
                                     t.start, t.tile);
  } else if (o.format == WeightFormat::i4g64) {
    tile_groups<R, WeightFormat::i4g64>(x, o.x_stride, t.panel + packed_bytes(o, t.first), t.count, t.ahead,
                                        t.start, t.tile);
  } else if (o.format == WeightFormat::i8g32) {
    tile_groups<R, WeightFormat::i8g32>(x, o.x_stride, t.panel + packed_bytes(o, t.first), t.count, t.ahead,
                                        t.start, t.tile);
  } else if (o.format == WeightFormat::f16) {
    tile_widening<R, WeightFormat::f16>(x, o.x_stride, t.panel + t.first * kPanel * 2, t.count, t.ahead,
                                        t.start, t.tile);
  } else {
    tile_widening<R, WeightFormat::bf16>(x, o.x_stride, t.panel + t.first / 2 * kPanel * 4, t.count, t.ahead,
                                         t.start, t.tile);
  }
}

inline void tile_rows(int rows, const Operand& o, const TileWork& t) {
  switch (rows) {
    case 1:
      return tile_any<1>(o, t);
    case 2:
      return tile_any<2>(o, t);
    case 3:
      return tile_any<3>(o, t);
    case 4:
      return tile_any<4>(o, t);
    case 5:
      return tile_any<(kRows >= 5 ? 5 : 1)>(o, t);
    default:
      return tile_any<kRows>(o, t);
  }
}

// Which lines each tile of a panel (or of a block of its inputs) brings closer: one group of rows brings what
// it will read itself soon; several share what comes behind the panel, so that memory is busy while they
// compute.
class AheadPlan {
 public:
  AheadPlan(const std::byte* weights, std::size_t bytes, std::size_t steps, std::size_t rows, bool i8)
      : steps_(steps), i8_(i8) {
    constexpr std::size_t kNear = 4096, kMostGroups = 4;
    const std::size_t groups = (rows + kRows - 1) / kRows;
    groups_ = groups < kMostGroups ? groups : kMostGroups;
    slice_ = bytes / groups_;
    start_ = groups == 1 ? weights + (stride_of(rows, i8) == 1 ? kNear : 2 * kNear) : weights + bytes;
  }
  // For the tile of `rows` rows that is the group-th of the panel.
  Ahead of(std::size_t group, std::size_t rows) const {
    if (group >= groups_) return {};
    const std::size_t stride = stride_of(rows, i8_), pauses = (steps_ + stride - 1) / stride;
    return {start_ + group * slice_, (slice_ + pauses * 64 - 1) / (pauses * 64)};
  }

 private:
  std::size_t groups_, slice_, steps_;
  bool i8_;
  const std::byte* start_;
};

inline std::size_t inputs_of_step(const Operand& o, bool widened) {
  if (o.x_scales != nullptr) return kStepI8;
  if (o.x_bf16) return kStepBf16;
  if (widened || o.format == WeightFormat::f32 || o.format == WeightFormat::f16) return kStepF32;
  if (o.format == WeightFormat::i8g32) return 4;
  return group_of(o.format) != 0 ? 8 : kStepWidening;
}

// Calls done(row, rows, tile) with the finished tile of every kRows rows of one panel.
// scratch: [kBlock or inputs + 1][kPanel] for widened weights, then [rows rounded up][kPanel] for sums set
// aside.
template <typename Done>
inline void for_each_tile(const Operand& o, const std::byte* panel, float* scratch, const Done& done) {
  alignas(64) float tile[kRows * kPanel];
  const std::size_t block = o.x_scales != nullptr || o.inputs < kBlock ? o.inputs : kBlock;
  float* sums = scratch + (block + 1) * kPanel;
  const bool widen_first =
      !o.x_bf16 && o.x_scales == nullptr && o.format != WeightFormat::f32 && o.rows >= 3 * kRows;
  for (std::size_t first = 0; first < o.inputs || first == 0; first += block) {
    const std::size_t count = o.inputs - first < block ? o.inputs - first : block;
    const bool last = first + count == o.inputs;
    const float* wide = nullptr;
    if (!o.x_bf16 && o.x_scales == nullptr && o.format == WeightFormat::f32) {
      wide = reinterpret_cast<const float*>(panel) + first * kPanel;
    } else if (widen_first) {
      widen(o.format, panel, first, count, scratch);
      wide = scratch;
    }
    const std::size_t each = inputs_of_step(o, widen_first), begin = packed_bytes(o, first);
    const AheadPlan plan(panel + begin, packed_bytes(o, first + count) - begin, (count + each - 1) / each,
                         o.rows, o.x_scales != nullptr);
    for (std::size_t row = 0; row < o.rows; row += kRows) {
      const int rows = o.rows - row < kRows ? static_cast<int>(o.rows - row) : kRows;
      float* t = last ? tile : sums + row * kPanel;
      tile_rows(rows, o,
                {row, first, count, panel, wide, plan.of(row / kRows, static_cast<std::size_t>(rows)),
                 first == 0 ? nullptr : sums + row * kPanel, t});
      if (!last) continue;
      done(row, rows, static_cast<const float*>(t));
    }
    if (last) break;
  }
}

// The vectors of one row of a tile, each function applied to all of them at once: their chains of operations
// are long, and several together keep the machine busy.
template <typename F>
inline __attribute__((always_inline)) void each_vector(V (&p)[kVectors], const F& f) {
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) p[v] = f(p[v]);
}
inline void apply(Epilogue::Act act, V (&row)[kVectors]) {
  switch (act) {
    case Epilogue::Act::none:
      return;
    case Epilogue::Act::relu2:
      return each_vector(row, [](V p) {
        const V m = max(zero(), p);  // in this order a NaN stays one
        return mul(m, m);
      });
    case Epilogue::Act::sigmoid:
      return each_vector(row, [](V p) { return sigmoid(p); });
    case Epilogue::Act::tanh:
      return each_vector(row, [](V p) { return tanh(p); });
    case Epilogue::Act::silu:
      return each_vector(row, [](V p) { return mul(p, sigmoid(p)); });
    case Epilogue::Act::exp_neg_exp:
      return each_vector(row, [](V p) { return exp(sub(zero(), exp(p))); });
    case Epilogue::Act::decay7:
      return each_vector(row, [](V p) {
        return exp(div(set(-0.606531f), add(set(1.0f), exp(sub(zero(), p)))));  // e^88 at most: no overflow
      });
    case Epilogue::Act::relu:
      return each_vector(row, [](V p) { return max(zero(), p); });
    case Epilogue::Act::gelu:
      return each_vector(row, [](V p) { return gelu(p); });
    case Epilogue::Act::gelu_tanh:
      return each_vector(row, [](V p) {  // (1 + tanh u) / 2 = sigmoid(2 u)
        const V cube = mul(mul(p, p), p);
        return mul(p, sigmoid(mul(fma(set(0.044715f), cube, p), set(1.5957691216f))));
      });
  }
}

inline void write_tile(const LinearArgs& a, std::size_t panel, std::size_t row, int rows, const float* tile) {
  const std::size_t column = panel * kPanel;
  const std::size_t columns = a.outputs - column < kPanel ? a.outputs - column : kPanel;
  const int vectors = static_cast<int>((columns + kWidth - 1) / kWidth);
  for (int r = 0; r < rows; ++r) {
    V p[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) p[v] = load(tile + r * kPanel + v * kWidth);
    if (a.bias != nullptr) {
      for (int v = 0; v < vectors; ++v) p[v] = add(p[v], load(a.bias + column + v * kWidth));
    }
    apply(a.act, p);
    for (int v = 0; v < vectors; ++v) {
      const std::size_t at = column + v * kWidth;
      V value = p[v];
      if (a.combine == Epilogue::Combine::lerp) {
        const V base = load(a.base + (row + r) * a.base_stride + at);
        value = fma(sub(load(a.target + (row + r) * a.target_stride + at), base), value, base);
      } else if (a.combine == Epilogue::Combine::gate) {
        value = mul(load(a.gate + (row + r) * a.gate_stride + at), value);
      }
      if (a.y_bf16) {
        store_bf16(static_cast<std::uint16_t*>(a.y) + (row + r) * a.y_stride + at, value);
        continue;
      }
      float* y = static_cast<float*>(a.y) + (row + r) * a.y_stride + at;
      if (a.combine == Epilogue::Combine::add) value = add(load(y), value);
      if (a.combine == Epilogue::Combine::gate_add) {
        value = fma(load(a.gate + (row + r) * a.gate_stride + at), value, load(y));
      }
      store(y, value);
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

// Running values of each row by lane: the maximum, the vector where it was met (exact in f32 below 2^24
// vectors), the sum of exponentials and what they are relative to: no more than kSlack below the maximum, so
// that no sum overflows, and raised seldom, so that the branch costs nothing.
struct Lanes {
  float most[kWidth], where[kWidth], total[kWidth], relative[kWidth];
};
constexpr float kNothing = -1e30f;  // below any logit; finite, so that differences stay finite
constexpr float kSlack = 40.0f;

inline void add_logits(Lanes& lanes, std::size_t vector, const float* logits) {
  V v[kVectors];
  V most = load(lanes.most), where = load(lanes.where), relative = load(lanes.relative);
  V total = load(lanes.total);
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    v[i] = load(logits + i * kWidth);
    where = select(greater(v[i], most), set(static_cast<float>(vector + i)), where);
    most = max(most, v[i]);
  }
  store(lanes.most, most);
  store(lanes.where, where);
  if (any(greater(most, add(relative, set(kSlack))))) {
    total = mul(total, exp(sub(relative, most)));
    relative = most;
    store(lanes.relative, relative);
  }
  V terms[kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) terms[i] = exp_term(sub(v[i], relative));
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) total = add(total, terms[i]);
  store(lanes.total, total);
}

inline void finish_lanes(const Lanes& lanes, HeadPartial& out) {
  out.max = kNothing;
  out.best = 0;
  for (int i = 0; i < kWidth; ++i) {
    const Token id = static_cast<Token>(lanes.where[i]) * kWidth + i;
    if (lanes.most[i] > out.max || (lanes.most[i] == out.max && id < out.best)) {
      out.max = lanes.most[i];
      out.best = id;
    }
  }
  out.sum = sum(mul(load(lanes.total), exp(sub(load(lanes.relative), set(out.max)))));
  // A NaN logit never wins a comparison but must not pass unseen.
  for (int i = 0; i < kWidth; ++i) {
    if (lanes.total[i] != lanes.total[i]) out.sum = lanes.total[i];
  }
}

void head(const HeadArgs& a) {
  const Operand operand{a.format, a.inputs, a.x, a.x_bf16, a.x_scales, a.x_stride, a.rows};
  const std::size_t bytes = panel_bytes(a.format, a.inputs, kPanel);
  const std::size_t block = a.inputs < kBlock ? a.inputs : kBlock;
  static_assert(sizeof(Lanes) <= 4 * 16 * sizeof(float));
  auto* lanes = reinterpret_cast<Lanes*>(a.scratch + (block + 1 + a.rows + 8) * kPanel);
  for (std::size_t r = 0; r < a.rows; ++r) {
    store(lanes[r].most, set(kNothing));
    store(lanes[r].where, zero());
    store(lanes[r].total, zero());
    store(lanes[r].relative, set(kNothing));
    a.partials[r].target = 0;
  }
  for (std::size_t p = a.panel_begin; p < a.panel_end; ++p) {
    const std::size_t column = p * kPanel;
    const std::size_t columns = a.outputs - column < kPanel ? a.outputs - column : kPanel;
    for_each_tile(operand, a.packed + p * bytes, a.scratch,
                  [&](std::size_t row, int rows, const float* tile) {
                    for (int r = 0; r < rows; ++r) {
                      const float* logits = tile + r * kPanel;
                      const std::size_t target = static_cast<std::size_t>(a.targets[row + r]) - column;
                      if (target < columns) a.partials[row + r].target = logits[target];
                      alignas(64) float masked[kPanel];
                      if (columns < kPanel) {
                        for (std::size_t c = 0; c < kPanel; ++c)
                          masked[c] = c < columns ? logits[c] : kNothing;
                        logits = masked;
                      }
                      add_logits(lanes[row + r], column / kWidth, logits);
                    }
                  });
  }
  for (std::size_t r = 0; r < a.rows; ++r) finish_lanes(lanes[r], a.partials[r]);
}

}  // namespace
}  // namespace deciban::cpu
