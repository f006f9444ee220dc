// The matrix-product micro-kernels and what is done with their tiles.  Included by kernels.cc alone.
#pragma once

#include <cmath>
#include <cstring>

#include "engine/cpu/kernels.h"
#include "engine/cpu/simd.h"

namespace deciban::cpu {
namespace {

using namespace simd;

#if defined(__AVX512F__)
inline constexpr int kRows = 6, kVectors = 4;  // 24 accumulators of 32 registers
#elif defined(__AVX2__)
inline constexpr int kRows = 6, kVectors = 2;  // 12 of 16
#else
inline constexpr int kRows = 4, kVectors = 2;  // 8 of 16
#endif
inline constexpr std::size_t kPanel = kVectors * kWidth;
inline constexpr std::size_t kBlock = 1024;  // inputs; a block of a panel stays in the L2 cache

// Tiles are [rows][kPanel] f32, the sums so far; each function adds inputs [0, count) of its operands.
template <int R>
inline void tile_f32(const float* x, std::size_t xs, const float* w, std::size_t count, float* tile) {
  V acc[R][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) acc[r][v] = load(tile + r * kPanel + v * kWidth);
  }
  for (std::size_t k = 0; k < count; ++k) {
    V b[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) b[v] = load(w + k * kPanel + v * kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const V a = set(x[r * xs + k]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(a, b[v], acc[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) store(tile + r * kPanel + v * kWidth, acc[r][v]);
  }
}

// The same sums from weights that are widened on the way: for few rows, where widening a block first does not pay.
template <int R, WeightFormat F>
inline void tile_widening(const float* x, std::size_t xs, const std::byte* w, std::size_t count, float* tile) {
  V acc[R][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) acc[r][v] = load(tile + r * kPanel + v * kWidth);
  }
  if constexpr (F == WeightFormat::i8) {
    for (std::size_t k = 0; k < count; k += 4) {
      const std::size_t left = count - k;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const I quads = load_int(w + (k / 4 * kPanel + v * kWidth) * 4);
        const V b[4] = {byte_of<0>(quads), byte_of<1>(quads), byte_of<2>(quads), byte_of<3>(quads)};
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const float* a = x + r * xs + k;
          acc[r][v] = fma(set(a[0]), b[0], acc[r][v]);
          if (left > 1) acc[r][v] = fma(set(a[1]), b[1], acc[r][v]);
          if (left > 2) acc[r][v] = fma(set(a[2]), b[2], acc[r][v]);
          if (left > 3) acc[r][v] = fma(set(a[3]), b[3], acc[r][v]);
        }
      }
    }
  } else if constexpr (F == WeightFormat::f16) {
    const auto* half = reinterpret_cast<const std::uint16_t*>(w);
    for (std::size_t k = 0; k < count; ++k) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const V b = load_f16(half + k * kPanel + v * kWidth);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) acc[r][v] = fma(set(x[r * xs + k]), b, acc[r][v]);
      }
    }
  } else {
    for (std::size_t k = 0; k + 1 < count; k += 2) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const std::byte* pairs = w + (k / 2 * kPanel + v * kWidth) * 4;
        const V even = first_of_pairs(pairs), odd = second_of_pairs(pairs);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          acc[r][v] = fma(set(x[r * xs + k]), even, acc[r][v]);
          acc[r][v] = fma(set(x[r * xs + k + 1]), odd, acc[r][v]);
        }
      }
    }
    if (count % 2) {
      const std::size_t k = count - 1;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const V even = first_of_pairs(w + (k / 2 * kPanel + v * kWidth) * 4);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) acc[r][v] = fma(set(x[r * xs + k]), even, acc[r][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) store(tile + r * kPanel + v * kWidth, acc[r][v]);
  }
}

// bf16 weights and activations.  x rows are read as 32-bit pairs.
template <int R>
inline void tile_bf16(const std::uint16_t* x, std::size_t xs, const std::byte* w, std::size_t count, float* tile) {
  const std::size_t pairs = (count + 1) / 2;
  V acc[R][kVectors];  // GCC 12 keeps __m512 accumulators in registers where it spills __m512i ones
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) acc[r][v] = load(tile + r * kPanel + v * kWidth);
  }
  for (std::size_t k = 0; k < pairs; ++k) {
    const std::byte* row = w + k * kPanel * 4;
#if defined(__AVX512BF16__)
    __m512bh b[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) b[v] = (__m512bh)_mm512_loadu_si512(row + v * kWidth * 4);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      std::int32_t pair;
      std::memcpy(&pair, x + r * xs + 2 * k, 4);
      const __m512bh a = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) acc[r][v] = _mm512_dpbf16_ps(acc[r][v], a, b[v]);
    }
#else
    // No dot product of pairs in this ISA: the products are exact in f32, summed one after the other.
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const V even = first_of_pairs(row + v * kWidth * 4), odd = second_of_pairs(row + v * kWidth * 4);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        std::uint32_t pair;
        std::memcpy(&pair, x + r * xs + 2 * k, 4);
        const std::uint32_t low = pair << 16, high = pair & 0xffff0000u;
        float a0, a1;
        std::memcpy(&a0, &low, 4);
        std::memcpy(&a1, &high, 4);
        acc[r][v] = fma(set(a1), odd, fma(set(a0), even, acc[r][v]));
      }
    }
#endif
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) store(tile + r * kPanel + v * kWidth, acc[r][v]);
  }
}

// i8 weights and activations: exact sums of all inputs (i32 holds K up to 66,000), then the scales.
template <int R>
inline void tile_i8(const std::uint8_t* x, std::size_t xs, const float* x_scales, const std::byte* panel,
                    std::size_t inputs, float* tile) {
  const std::size_t quads = (inputs + 3) / 4;
  I acc[R][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) acc[r][v] = set_int(0);
  }
  for (std::size_t k = 0; k < quads; ++k) {
    I b[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) b[v] = load_int(panel + (k * kPanel + v * kWidth) * 4);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      std::int32_t quad;
      std::memcpy(&quad, x + r * xs + 4 * k, 4);
      const I a = set_int(quad);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) acc[r][v] = dot4(acc[r][v], a, b[v]);
    }
  }
  const std::byte* scales = panel + quads * kPanel * 4;
  const std::byte* shift = scales + kPanel * 4;
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const V scale = load(reinterpret_cast<const float*>(scales) + v * kWidth);
    const I sums = load_int(shift + v * kWidth * 4);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      store(tile + r * kPanel + v * kWidth, mul(mul(to_float(sub_int(acc[r][v], sums)), scale), set(x_scales[r])));
    }
  }
}

float quantise(const float* x, std::size_t columns, std::uint8_t* out) {
  const std::size_t whole = columns / kWidth * kWidth;
  V most = zero();
  for (std::size_t c = 0; c < whole; c += kWidth) most = max(most, abs(load(x + c)));
  alignas(64) float lane[kWidth];
  store(lane, most);
  float top = 0;
  for (int i = 0; i < kWidth; ++i) top = lane[i] > top ? lane[i] : top;
  for (std::size_t c = whole; c < columns; ++c) top = std::fabs(x[c]) > top ? std::fabs(x[c]) : top;
  const float inverse = top > 0 ? 127.0f / top : 0.0f;
  alignas(64) std::int32_t whole_numbers[kWidth];
  for (std::size_t c = 0; c < whole; c += kWidth) {
    store_int(whole_numbers, to_int(fma(load(x + c), set(inverse), set(128.0f))));
    for (int i = 0; i < kWidth; ++i) out[c + i] = static_cast<std::uint8_t>(whole_numbers[i]);
  }
  for (std::size_t c = whole; c < columns; ++c) {
    for (int i = 0; i < kWidth; ++i) lane[i] = x[c];
    store_int(whole_numbers, to_int(fma(load(lane), set(inverse), set(128.0f))));
    out[c] = static_cast<std::uint8_t>(whole_numbers[0]);
  }
  for (std::size_t c = columns; c % 64 != 0; ++c) out[c] = 128;
  return top / 127.0f;
}

// Widens inputs [first, first + count) of a packed panel to [count][kPanel] f32; `first` is a multiple of 4.
inline void widen(WeightFormat format, const std::byte* panel, std::size_t first, std::size_t count, float* out) {
  if (format == WeightFormat::i8) {
    for (std::size_t k = 0; k < count; k += 4) {
      for (int v = 0; v < kVectors; ++v) {
        const I quads = load_int(panel + ((first + k) / 4 * kPanel + v * kWidth) * 4);
        float* to = out + k * kPanel + v * kWidth;
        store(to, byte_of<0>(quads));
        if (k + 1 < count) store(to + kPanel, byte_of<1>(quads));
        if (k + 2 < count) store(to + 2 * kPanel, byte_of<2>(quads));
        if (k + 3 < count) store(to + 3 * kPanel, byte_of<3>(quads));
      }
    }
    return;
  }
  if (format == WeightFormat::f16) {
    const auto* half = reinterpret_cast<const std::uint16_t*>(panel) + first * kPanel;
    for (std::size_t i = 0; i < count * kPanel; i += kWidth) store(out + i, load_f16(half + i));
    return;
  }
  const std::byte* pairs = panel + first / 2 * kPanel * 4;
  for (std::size_t k = 0; k < count; k += 2) {
    for (int v = 0; v < kVectors; ++v) {
      const std::byte* p = pairs + (k / 2 * kPanel + v * kWidth) * 4;
      store(out + k * kPanel + v * kWidth, first_of_pairs(p));
      if (k + 1 < count) store(out + (k + 1) * kPanel + v * kWidth, second_of_pairs(p));
    }
  }
}

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
inline void tile_any(const Operand& o, std::size_t row, std::size_t first, std::size_t count, const std::byte* panel,
                     const float* wide, float* tile) {
  if (o.x_scales != nullptr) {
    tile_i8<R>(static_cast<const std::uint8_t*>(o.x) + row * o.x_stride, o.x_stride, o.x_scales + row, panel, o.inputs,
               tile);
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
    case 1: return tile_any<1>(o, row, first, count, panel, wide, tile);
    case 2: return tile_any<2>(o, row, first, count, panel, wide, tile);
    case 3: return tile_any<3>(o, row, first, count, panel, wide, tile);
    case 4: return tile_any<4>(o, row, first, count, panel, wide, tile);
    case 5: return tile_any<(kRows >= 5 ? 5 : 1)>(o, row, first, count, panel, wide, tile);
    default: return tile_any<kRows>(o, row, first, count, panel, wide, tile);
  }
}

// Calls done(row, rows, tile) with the finished tile of every kRows rows of one panel.
// scratch: [kBlock or inputs + 1][kPanel] for widened weights, then [rows rounded up][kPanel] for sums set aside.
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
      const V m = max(p, zero());
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
    for_each_tile(operand, a.packed + p * bytes, a.scratch, [&](std::size_t row, int rows, const float* tile) {
      write_tile(a, p, row, rows, tile);
    });
  }
}

// Running values by lane: [row][4][kWidth] = maximum, sum, best value's column (as float bits of an int), unused.
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
    for_each_tile(operand, a.packed + p * bytes, a.scratch, [&](std::size_t row, int rows, const float* tile) {
      for (int r = 0; r < rows; ++r) {
        const float* logits = tile + r * kPanel;
        const std::size_t target = static_cast<std::size_t>(a.targets[row + r]);
        if (target >= column && target < column + columns) a.partials[row + r].target = logits[target - column];
        alignas(64) float masked[kPanel];
        if (columns < kPanel) {
          for (std::size_t c = 0; c < kPanel; ++c) masked[c] = c < columns ? logits[c] : kNothing;
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
          where = select(above, set(static_cast<float>(column / kWidth + i)), where);  // exact below 2^24 vectors
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

// One scale per output: its largest weight becomes 127.
bool pack_i8(const float* rows, std::size_t row_stride, std::size_t outputs, std::size_t inputs, std::byte* panel) {
  auto* weights = reinterpret_cast<std::int8_t*>(panel);
  auto* scales = reinterpret_cast<float*>(panel + (inputs + 3) / 4 * kPanel * 4);
  auto* sums = reinterpret_cast<std::int32_t*>(scales + kPanel);
  bool finite = true;
  for (std::size_t n = 0; n < kPanel; ++n) {
    float top = 0;
    for (std::size_t k = 0; n < outputs && k < inputs; ++k) {
      const float value = std::fabs(rows[n * row_stride + k]);
      finite &= value - value == 0.0f;
      top = value > top ? value : top;
    }
    const float inverse = top > 0 ? 127.0f / top : 0.0f;
    scales[n] = top / 127.0f;
    sums[n] = 0;
    for (std::size_t k = 0; k < (inputs + 3) / 4 * 4; ++k) {
      int whole = 0;
      if (n < outputs && k < inputs && finite) whole = static_cast<int>(std::nearbyint(rows[n * row_stride + k] * inverse));
      weights[(k / 4 * kPanel + n) * 4 + k % 4] = static_cast<std::int8_t>(whole);
      sums[n] += 128 * whole;
    }
  }
  return finite;
}

bool pack(WeightFormat format, const float* rows, std::size_t row_stride, std::size_t outputs, std::size_t inputs,
          std::byte* panel) {
  if (format == WeightFormat::i8) return pack_i8(rows, row_stride, outputs, inputs, panel);
  bool finite = true;
  alignas(64) float column[kPanel];
  const std::size_t padded = format == WeightFormat::bf16 ? (inputs + 1) / 2 * 2 : inputs;
  for (std::size_t k = 0; k < padded; ++k) {
    for (std::size_t n = 0; n < kPanel; ++n) {
      const float value = n < outputs && k < inputs ? rows[n * row_stride + k] : 0.0f;
      finite &= value - value == 0.0f;
      column[n] = value;
    }
    if (format == WeightFormat::f32) {
      std::memcpy(panel + k * kPanel * 4, column, kPanel * 4);
    } else if (format == WeightFormat::bf16) {
      alignas(64) std::uint16_t narrow[kPanel];
      for (std::size_t n = 0; n < kPanel; n += kWidth) store_bf16(narrow + n, load(column + n));
      auto* out = reinterpret_cast<std::uint16_t*>(panel + k / 2 * kPanel * 4);
      for (std::size_t n = 0; n < kPanel; ++n) out[2 * n + k % 2] = narrow[n];
    } else {
      auto* out = reinterpret_cast<std::uint16_t*>(panel) + k * kPanel;
      for (std::size_t n = 0; n < kPanel; ++n) out[n] = to_f16(column[n]);
      for (std::size_t n = 0; n < kPanel; ++n) finite &= (out[n] & 0x7c00) != 0x7c00;  // overflow of f16
    }
  }
  return finite;
}

}  // namespace
}  // namespace deciban::cpu
