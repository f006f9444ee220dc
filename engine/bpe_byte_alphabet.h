// GPT-2's alphabet: each byte written as one printable character, so that a vocabulary of byte strings is a
// text file.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/utf8.h"

namespace deciban {

// Printable bytes stand for themselves; the other 68, in ascending order, are U+0100, U+0101, …
inline bool is_own_letter(unsigned int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

// The byte that a character stands for, or -1.
inline int byte_of_letter(char32_t letter) {
  if (letter < 0x100) return is_own_letter(letter) ? static_cast<int>(letter) : -1;
  char32_t next = 0x100;
  for (unsigned int byte = 0; byte < 0x100; ++byte) {
    if (!is_own_letter(byte) && next++ == letter) return static_cast<int>(byte);
  }
  return -1;
}

// The bytes that a valid UTF-8 text in the alphabet stands for, or nothing if it has other characters.
inline std::optional<std::string> from_byte_alphabet(std::string_view text) {
  std::string bytes;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    const int byte = byte_of_letter(c.value);
    if (byte < 0) return {};
    bytes += static_cast<char>(byte);
    at += c.length;
  }
  return bytes;
}

}  // namespace deciban
