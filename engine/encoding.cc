#include "engine/encoding.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "engine/generated_values.h"

namespace deciban {
namespace {

struct Layout {
  std::string_view name;
  std::size_t elements, bytes;  // of a block
};

// In the order of Encoding.
constexpr Layout kLayouts[] = {{"f64", 1, 8},      {"f32", 1, 4},      {"f16", 1, 2},
                               {"bf16", 1, 2},     {"i64", 1, 8},      {"i32", 1, 4},
                               {"i16", 1, 2},      {"i8", 1, 1},       {"u8", 1, 1},
                               {"bool", 1, 1},     {"q4_0", 32, 18},   {"q4_1", 32, 20},
                               {"q5_0", 32, 22},   {"q5_1", 32, 24},   {"q8_0", 32, 34},
                               {"q4_k", 256, 144}, {"q6_k", 256, 210}, {"i4g32", 32, 20},
                               {"i4g64", 64, 36},  {"i8g32", 32, 34},  {"generated", SIZE_MAX, 8}};
static_assert(std::size(kLayouts) == static_cast<std::size_t>(Encoding::generated) + 1);

const Layout& layout(Encoding encoding) { return kLayouts[static_cast<std::size_t>(encoding)]; }

// Unaligned: a storage may lie anywhere in its file.
template <class T>
T load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

inline float half_bits_to_float(std::uint32_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t magnitude = half & 0x7fffu;
  // No branches, so that loops vectorise, and no subnormal floats on the way, so that flush-to-zero cannot
  // harm.
  const std::uint32_t normal = (magnitude << 13) + (112u << 23);
  const std::uint32_t special = (magnitude << 13) | 0x7f800000u;
  constexpr std::uint32_t kSmallest = 113u << 23;  // 2^-14 as a float
  const auto subnormal = std::bit_cast<std::uint32_t>(std::bit_cast<float>(kSmallest + (magnitude << 13)) -
                                                      std::bit_cast<float>(kSmallest));
  const std::uint32_t finite = magnitude < 0x400u ? subnormal : normal;
  return std::bit_cast<float>(sign | (magnitude >= 0x7c00u ? special : finite));
}

struct F64 {
  static constexpr std::size_t kBytes = 8;
  static float get(const std::byte* p) { return static_cast<float>(load<double>(p)); }
};
struct F32 {
  static constexpr std::size_t kBytes = 4;
  static float get(const std::byte* p) { return load<float>(p); }
};
struct F16 {
  static constexpr std::size_t kBytes = 2;
  static float get(const std::byte* p) { return half_bits_to_float(load<std::uint16_t>(p)); }
};
struct Bf16 {
  static constexpr std::size_t kBytes = 2;
  static float get(const std::byte* p) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(load<std::uint16_t>(p)) << 16);
  }
};
template <class T>
struct Integer {
  static constexpr std::size_t kBytes = sizeof(T);
  static float get(const std::byte* p) { return static_cast<float>(load<T>(p)); }
};
struct Boolean {
  static constexpr std::size_t kBytes = 1;
  static float get(const std::byte* p) { return load<std::uint8_t>(p) != 0 ? 1.0f : 0.0f; }
};

// Calls use(Element{}) for a plain encoding; false for a quantised one.
template <class Use>
bool with_element(Encoding encoding, Use&& use) {
  switch (encoding) {
    case Encoding::f64:
      use(F64{});
      return true;
    case Encoding::f32:
      use(F32{});
      return true;
    case Encoding::f16:
      use(F16{});
      return true;
    case Encoding::bf16:
      use(Bf16{});
      return true;
    case Encoding::i64:
      use(Integer<std::int64_t>{});
      return true;
    case Encoding::i32:
      use(Integer<std::int32_t>{});
      return true;
    case Encoding::i16:
      use(Integer<std::int16_t>{});
      return true;
    case Encoding::i8:
      use(Integer<std::int8_t>{});
      return true;
    case Encoding::u8:
      use(Integer<std::uint8_t>{});
      return true;
    case Encoding::boolean:
      use(Boolean{});
      return true;
    default:
      return false;
  }
}

struct Generated {
  explicit Generated(const std::byte* data) : seed(load<std::uint64_t>(data)) {}
  float operator()(std::size_t index) const { return generated_value(seed, index); }
  std::uint64_t seed;
};

constexpr std::size_t kBlock = 32, kLargestBlock = 256;

// ggml's blocks: element j (0…15) is the low nibble of byte j, j + 16 the high one; bit e of `high` is
// element e's fifth bit.
void dequantise_block(Encoding encoding, const std::byte* block, float* out) {
  const float d = half_bits_to_float(load<std::uint16_t>(block));
  if (encoding == Encoding::q8_0) {
    for (std::size_t j = 0; j < kBlock; ++j)
      out[j] = d * static_cast<float>(load<std::int8_t>(block + 2 + j));
    return;
  }
  const bool has_minimum = encoding == Encoding::q4_1 || encoding == Encoding::q5_1;
  const bool five_bits = encoding == Encoding::q5_0 || encoding == Encoding::q5_1;
  const std::byte* p = block + 2;
  float minimum = 0;
  if (has_minimum) {
    minimum = half_bits_to_float(load<std::uint16_t>(p));
    p += 2;
  }
  std::uint32_t high = 0;
  if (five_bits) {
    high = load<std::uint32_t>(p);
    p += 4;
  }
  const int zero = has_minimum ? 0 : five_bits ? 16 : 8;
  for (std::size_t j = 0; j < kBlock / 2; ++j) {
    const auto byte = load<std::uint8_t>(p + j);
    const int low = (byte & 15) | static_cast<int>(((high >> j) & 1u) << 4);
    const int upper = (byte >> 4) | static_cast<int>(((high >> (j + 16)) & 1u) << 4);
    out[j] = d * static_cast<float>(low - zero) + minimum;
    out[j + 16] = d * static_cast<float>(upper - zero) + minimum;
  }
}

// Eight scales and eight minima of 6 bits in 12 bytes.
struct ScaleAndMinimum {
  float scale, minimum;
};
ScaleAndMinimum k_scale(const std::byte* packed, std::size_t j) {
  const auto at = [&](std::size_t i) { return static_cast<int>(packed[i]); };
  if (j < 4) return {static_cast<float>(at(j) & 63), static_cast<float>(at(j + 4) & 63)};
  return {static_cast<float>((at(j + 4) & 15) | (at(j - 4) >> 6 << 4)),
          static_cast<float>((at(j + 4) >> 4) | (at(j) >> 6 << 4))};
}

// 256 elements: d, dmin, the scales, then 128 bytes of nibbles; 64 elements share 32 bytes, low nibbles
// first.
void dequantise_q4_k(const std::byte* block, float* out) {
  const float d = half_bits_to_float(load<std::uint16_t>(block));
  const float least = half_bits_to_float(load<std::uint16_t>(block + 2));
  const std::byte* nibbles = block + 16;
  for (std::size_t j = 0; j < 8; ++j) {
    const auto [scale, minimum] = k_scale(block + 4, j);
    for (std::size_t i = 0; i < 32; ++i) {
      const int byte = static_cast<int>(nibbles[j / 2 * 32 + i]);
      *out++ = d * scale * static_cast<float>(j % 2 == 0 ? byte & 15 : byte >> 4) - least * minimum;
    }
  }
}

// 256 elements: low four bits, high two bits, 16 scales of i8, d.  Quarter q of each 128 takes nibble q / 2
// of bytes q % 2 * 32 on, and bits 2 q of the high bytes.
void dequantise_q6_k(const std::byte* block, float* out) {
  const float d = half_bits_to_float(load<std::uint16_t>(block + 208));
  for (std::size_t half = 0; half < 2; ++half) {
    const std::byte *low = block + half * 64, *high = block + 128 + half * 32,
                    *scales = block + 192 + half * 8;
    for (std::size_t q = 0; q < 4; ++q) {
      for (std::size_t i = 0; i < 32; ++i) {
        const int nibble = static_cast<int>(low[q % 2 * 32 + i]) >> (q / 2 * 4) & 15;
        const int value = (nibble | (static_cast<int>(high[i]) >> (2 * q) & 3) << 4) - 32;
        const auto scale = load<std::int8_t>(scales + 2 * q + i / 16);
        *out++ = d * static_cast<float>(scale) * static_cast<float>(value);
      }
    }
  }
}

// A bf16 scale, for four bits a bf16 minimum, and the elements one after the other, four bits from the lowest
// on.
void dequantise_group(Encoding encoding, const std::byte* block, float* out) {
  const std::size_t elements = layout(encoding).elements;
  const float scale = Bf16::get(block);
  if (encoding == Encoding::i8g32) {
    for (std::size_t i = 0; i < elements; ++i) {
      out[i] = scale * static_cast<float>(load<std::int8_t>(block + 2 + i));
    }
    return;
  }
  const float minimum = Bf16::get(block + 2);
  for (std::size_t i = 0; i < elements; ++i) {
    const int byte = static_cast<int>(block[4 + i / 2]);
    out[i] = scale * static_cast<float>(i % 2 == 0 ? byte & 15 : byte >> 4) + minimum;
  }
}

void dequantise_any(Encoding encoding, const std::byte* block, float* out) {
  if (encoding == Encoding::i4g32 || encoding == Encoding::i4g64 || encoding == Encoding::i8g32) {
    return dequantise_group(encoding, block, out);
  }
  if (encoding == Encoding::q4_k) return dequantise_q4_k(block, out);
  if (encoding == Encoding::q6_k) return dequantise_q6_k(block, out);
  dequantise_block(encoding, block, out);
}

void dequantise_run(Encoding encoding, const std::byte* data, std::size_t first, std::size_t count,
                    float* out) {
  const auto [name, size, bytes] = layout(encoding);
  while (count > 0) {
    const std::byte* block = data + first / size * bytes;
    const std::size_t skip = first % size;
    const std::size_t taken = std::min(count, size - skip);
    if (taken == size) {
      dequantise_any(encoding, block, out);
    } else {
      float whole[kLargestBlock];
      dequantise_any(encoding, block, whole);
      std::copy_n(whole + skip, taken, out);
    }
    first += taken;
    count -= taken;
    out += taken;
  }
}

}  // namespace

std::string_view name(Encoding encoding) { return layout(encoding).name; }
std::size_t block_elements(Encoding encoding) { return layout(encoding).elements; }
std::size_t block_bytes(Encoding encoding) { return layout(encoding).bytes; }

std::size_t row_bytes(Encoding encoding, std::size_t elements) {
  const Layout& blocks = layout(encoding);
  return (elements / blocks.elements + (elements % blocks.elements != 0)) * blocks.bytes;
}

float half_to_float(std::uint16_t half) { return half_bits_to_float(half); }

void convert_run(Encoding encoding, const std::byte* data, std::size_t first, std::size_t count, float* out) {
  if (encoding == Encoding::generated) {
    const Generated value(data);
    for (std::size_t i = 0; i < count; ++i) out[i] = value(first + i);
    return;
  }
  if (encoding == Encoding::f32) {
    std::memcpy(out, data + first * sizeof(float), count * sizeof(float));
    return;
  }
  const bool plain = with_element(encoding, [&]<class Element>(Element) {
    const std::byte* p = data + first * Element::kBytes;
    for (std::size_t i = 0; i < count; ++i) out[i] = Element::get(p + i * Element::kBytes);
  });
  if (!plain) dequantise_run(encoding, data, first, count, out);
}

void convert_strided(Encoding encoding, const std::byte* data, std::size_t first, std::ptrdiff_t stride,
                     std::size_t count, float* out) {
  if (encoding == Encoding::generated) {
    const Generated value(data);
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = value(static_cast<std::size_t>(static_cast<std::ptrdiff_t>(first) +
                                              static_cast<std::ptrdiff_t>(i) * stride));
    }
    return;
  }
  const bool plain = with_element(encoding, [&]<class Element>(Element) {
    const std::byte* p = data + first * Element::kBytes;
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = Element::get(p + static_cast<std::ptrdiff_t>(i) * stride *
                                    static_cast<std::ptrdiff_t>(Element::kBytes));
    }
  });
  if (plain) return;
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::ptrdiff_t>(first) + static_cast<std::ptrdiff_t>(i) * stride;
    dequantise_run(encoding, data, static_cast<std::size_t>(at), 1, out + i);
  }
}

}  // namespace deciban
