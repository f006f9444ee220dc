// Packing weights into panels, rounding activations to i8, and widening packed weights back to f32.  Included
// by kernels.cc alone.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>

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
bool pack_i8(const float* rows, std::size_t row_stride, std::size_t outputs, std::size_t inputs,
             std::byte* panel) {
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
      if (n < outputs && k < inputs && finite)
        whole = static_cast<int>(std::nearbyint(rows[n * row_stride + k] * inverse));
      weights[(k / 4 * kPanel + n) * 4 + k % 4] = static_cast<std::int8_t>(whole);
      sums[n] += 128 * whole;
    }
  }
  return finite;
}

bool pack(WeightFormat format, const float* rows, std::size_t row_stride, std::size_t outputs,
          std::size_t inputs, std::byte* panel) {
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

// Widens inputs [first, first + count) of a packed panel to [count][kPanel] f32 (i8: 2^24 times the values,
// as in tile_widening()); `first` is a multiple of 4.
inline void widen(WeightFormat format, const std::byte* panel, std::size_t first, std::size_t count,
                  float* out) {
  if (format == WeightFormat::i8) {
    for (std::size_t k = 0; k < count; k += 4) {
      for (int v = 0; v < kVectors; ++v) {
        const I quads = load_int(panel + ((first + k) / 4 * kPanel + v * kWidth) * 4);
        float* to = out + k * kPanel + v * kWidth;
        store(to, high_byte<0>(quads));
        if (k + 1 < count) store(to + kPanel, high_byte<1>(quads));
        if (k + 2 < count) store(to + 2 * kPanel, high_byte<2>(quads));
        if (k + 3 < count) store(to + 3 * kPanel, high_byte<3>(quads));
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

}  // namespace
}  // namespace deciban::cpu
