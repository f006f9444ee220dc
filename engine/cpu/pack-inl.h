// Packing weights into panels, rounding activations to i8, and widening packed weights back to f32.  Included
// by kernels.cc alone.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>

#include "engine/cpu/pack-groups-inl.h"
#include "engine/cpu/tiles-inl.h"

namespace deciban::cpu {
namespace {

using namespace simd;

// To IEEE half, nearest even; overflow becomes infinity.
inline std::uint16_t to_f16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000;
  const std::uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x47800000)
    return static_cast<std::uint16_t>(sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00));
  if (magnitude < 0x38800000) {  // subnormal half: adding 0.5 in f32 rounds at the half's last place
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000));
  }
  return static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13));
}

// One scale per output: its largest weight becomes 127.
bool pack_i8(const PanelRows& from, std::byte* panel) {
  const std::size_t quads = (from.inputs + 3) / 4;
  auto* scales = reinterpret_cast<float*>(panel + quads * kPanel * 4);
  auto* sums = reinterpret_cast<std::int32_t*>(scales + kPanel);
  V damage = zero();
  for (std::size_t n = 0; n < kPanel; n += kWidth) {
    V top = zero(), columns[kWidth];
    for (std::size_t k = 0; k < from.inputs; k += kWidth) {
      from.square(k, n, columns);
      for (const V& column : columns) {
        top = max(top, abs(column));
        damage = add(damage, sub(column, column));
      }
    }
    store(scales + n, div(top, set(127.0f)));
    const V inverse = select(greater(top, zero()), div(set(127.0f), top), zero());
    I total = set_int(0);
    for (std::size_t k = 0; k < from.inputs; k += kWidth) {
      from.square(k, n, columns);
      for (std::size_t i = 0; i < kWidth && k + i < 4 * quads; i += 4) {
        I whole[4];
        for (std::size_t b = 0; b < 4; ++b) {
          whole[b] = to_int(mul(columns[i + b], inverse));
          total = add_int(total, whole[b]);
          whole[b] = and_int(whole[b], set_int(255));
        }
        const I low = or_int(whole[0], left<8>(whole[1])),
                high = or_int(left<16>(whole[2]), left<24>(whole[3]));
        store_int(panel + ((k + i) / 4 * kPanel + n) * 4, or_int(low, high));
      }
    }
    store_int(sums + n, left<7>(total));  // 128 times
  }
  return sum(damage) == 0.0f;
}

// bf16 as it is stored: pairs of inputs move as one word, nothing is rounded.  Rows are read kWidth at a time
// from end to end, each brought ahead: memory that is read at 64 places in turn is several times as slow.
bool pack_pairs(const std::uint16_t* rows, std::size_t row_stride, std::size_t outputs, std::size_t inputs,
                std::byte* panel) {
  constexpr std::size_t kNear = 512;  // bytes of a row
  const PanelRows from{reinterpret_cast<const float*>(rows), row_stride / 2, outputs, inputs / 2};
  V damage = zero();
  for (std::size_t n = 0; n < kPanel; n += kWidth) {
    for (std::size_t k = 0; k < from.inputs; k += kWidth) {
      const std::size_t count = from.inputs - k < kWidth ? from.inputs - k : kWidth;
      for (std::size_t r = n; r < n + kWidth && r < outputs; ++r) {
        prefetch_far(reinterpret_cast<const char*>(from.rows + r * from.stride + k) + kNear);
      }
      V columns[kWidth];
      from.square(k, n, columns);
      for (std::size_t i = 0; i < count; ++i) {
        store(reinterpret_cast<float*>(panel) + (k + i) * kPanel + n, columns[i]);
        const V even = first_of_pairs(bits(columns[i])), odd = second_of_pairs(bits(columns[i]));
        damage = add(damage, add(sub(even, even), sub(odd, odd)));
      }
    }
  }
  return sum(damage) == 0.0f;
}

bool pack(WeightFormat format, const float* rows, std::size_t row_stride, std::size_t outputs,
          std::size_t inputs, std::byte* panel) {
  const PanelRows from{rows, row_stride, outputs, inputs};
  if (format == WeightFormat::i8) return pack_i8(from, panel);
  if (format == WeightFormat::i8g32) return pack_i8_groups(from, panel);
  if (group_of(format) != 0) return pack_i4(from, group_of(format), panel);
  V damage = zero();
  bool fits = true;
  for (std::size_t k = 0; k < inputs; k += kWidth) {
    for (std::size_t n = 0; n < kPanel; n += kWidth) {
      V columns[kWidth];
      from.square(k, n, columns);
      for (const V& column : columns) damage = add(damage, sub(column, column));
      const std::size_t count = inputs - k < kWidth ? inputs - k : kWidth;
      for (std::size_t i = 0; i < count; ++i) {
        if (format == WeightFormat::f32) {
          store(reinterpret_cast<float*>(panel) + (k + i) * kPanel + n, columns[i]);
        } else if (format == WeightFormat::bf16) {
          if (i % 2 != 0) continue;
          const I even = right<16>(round_bf16(columns[i]));
          const I odd = and_int(round_bf16(columns[i + 1]), set_int(static_cast<int>(0xffff0000u)));
          store_int(panel + ((k + i) / 2 * kPanel + n) * 4, or_int(even, odd));
        } else {
          auto* out = reinterpret_cast<std::uint16_t*>(panel) + (k + i) * kPanel + n;
          alignas(64) float column[kWidth];
          store(column, columns[i]);
          for (std::size_t c = 0; c < kWidth; ++c) {
            out[c] = to_f16(column[c]);
            fits &= (out[c] & 0x7c00) != 0x7c00;  // overflow of f16
          }
        }
      }
    }
  }
  return fits && sum(damage) == 0.0f;
}

float quantise(const float* x, std::size_t columns, std::uint8_t* out) {
  const std::size_t whole = columns / kWidth * kWidth;
  V most = zero(), damage = zero();  // x - x is 0, or NaN where x is not finite
  for (std::size_t c = 0; c < whole; c += kWidth) {
    const V value = load(x + c);
    most = max(most, abs(value));
    damage = add(damage, sub(value, value));
  }
  alignas(64) float lane[kWidth];
  store(lane, most);
  float top = 0;
  for (int i = 0; i < kWidth; ++i) top = lane[i] > top ? lane[i] : top;
  float damaged = sum(damage);
  for (std::size_t c = whole; c < columns; ++c) {
    top = std::fabs(x[c]) > top ? std::fabs(x[c]) : top;
    damaged += x[c] - x[c];
  }
  const float inverse = top > 0 ? 127.0f / top : 0.0f;
  const auto rounded = [&](const float* from) { return to_int(fma(load(from), set(inverse), set(128.0f))); };
  for (std::size_t c = 0; c < whole; c += kWidth) store_bytes(out + c, rounded(x + c));
  if (whole < columns) {
    std::uint8_t bytes[kWidth];
    for (std::size_t c = whole; c < whole + kWidth; ++c) lane[c - whole] = c < columns ? x[c] : 0.0f;
    store_bytes(bytes, rounded(lane));
    std::memcpy(out + whole, bytes, columns - whole);
  }
  for (std::size_t c = columns; c % 64 != 0; ++c) out[c] = 128;
  return top / 127.0f + damaged;  // a NaN scale spoils all the row's products, as a NaN input would
}

// `count` inputs from the beginning of a run of groups on.
template <WeightFormat F>
inline void widen_groups(const std::byte* panel, std::size_t count, float* out) {
  constexpr std::size_t kPerWord = Groups<F>::kPerWord;
  Groups<F> group;
  for (std::size_t k = 0; k < count; k += kPerWord, panel += kPanel * 4) {
    panel = group.at(k / kPerWord, panel);
    for (int v = 0; v < kVectors; ++v) {
      I words = load_int(panel + v * kWidth * 4);
      for (std::size_t i = k; i < count && i < k + kPerWord; ++i, words = right<Groups<F>::kBits>(words)) {
        store(out + i * kPanel + v * kWidth, group.template value<0>(words, v));
      }
    }
  }
}

// Widens inputs [first, first + count) of a packed panel to [count][kPanel] f32; `first` is a multiple of 64.
inline void widen(WeightFormat format, const std::byte* panel, std::size_t first, std::size_t count,
                  float* out) {
  switch (format) {
    case WeightFormat::i4:
      return widen_groups<WeightFormat::i4>(panel + panel_bytes(format, first, kPanel), count, out);
    case WeightFormat::i4g64:
      return widen_groups<WeightFormat::i4g64>(panel + panel_bytes(format, first, kPanel), count, out);
    case WeightFormat::i8g32:
      return widen_groups<WeightFormat::i8g32>(panel + panel_bytes(format, first, kPanel), count, out);
    default:
      break;
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

}  // namespace
}  // namespace deciban::cpu
