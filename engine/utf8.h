// UTF-8: reading and writing code points, checking, and repairing text from outside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/export.h"

namespace deciban {

// The code point at `at` of valid UTF-8, and how many bytes it has.
struct CodePoint {
  char32_t value;
  std::size_t length;
};

inline CodePoint code_point_at(std::string_view valid, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(valid[at + i]));
  };
  const char32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first < 0xE0) return {(first & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (first < 0xF0) return {(first & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(first & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

// Appends a code point (a Unicode scalar value).
DECIBAN_API void append_utf8(std::string& text, char32_t code_point);

// Where the first ill-formed sequence begins (surrogates, overlong forms and values beyond 10FFFF are
// ill-formed), or text.size().
DECIBAN_API std::size_t first_invalid_utf8(std::string_view text, std::size_t from = 0);

// The text with U+FFFD for every maximal subpart of an ill-formed sequence (the Unicode Standard's
// recommendation, what browsers and Python do).
DECIBAN_API std::string repair_utf8(std::string_view text);

}  // namespace deciban
