#include "engine/utf8.h"

#include <cstring>

namespace deciban {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Bytes of the well-formed sequence at `at`, or 0; `subpart` gets the length of the maximal subpart if
// ill-formed.
std::size_t sequence_length(std::string_view text, std::size_t at, std::size_t& subpart) {
  const auto byte = [&](std::size_t i) -> int {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : -1;
  };
  const auto trails = [&](std::size_t i, int low = 0x80, int high = 0xBF) {
    return byte(i) >= low && byte(i) <= high;
  };
  const int first = byte(0);
  subpart = 1;
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  if (first < 0xE0) return trails(1) ? 2 : 0;
  // The second byte's range excludes overlong forms, surrogates, and what lies beyond 10FFFF.
  const int low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const int high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (!trails(1, low, high)) return 0;
  subpart = 2;
  if (!trails(2)) return 0;
  if (first < 0xF0) return 3;
  subpart = 3;
  return trails(3) ? 4 : 0;
}

}  // namespace

void append_utf8(std::string& text, char32_t code_point) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

std::size_t first_invalid_utf8(std::string_view text, std::size_t from) {
  std::size_t at = from, subpart;
  while (at < text.size()) {
    std::uint64_t word;
    while (at + sizeof word <= text.size()) {  // ASCII, eight bytes at a time
      std::memcpy(&word, text.data() + at, sizeof word);
      if (word & 0x8080808080808080u) break;
      at += sizeof word;
    }
    if (at == text.size()) break;
    const std::size_t length = sequence_length(text, at, subpart);
    if (!length) return at;
    at += length;
  }
  return at;
}

std::string repair_utf8(std::string_view text) {
  std::string repaired;
  repaired.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t bad = first_invalid_utf8(text, at);
    repaired += text.substr(at, bad - at);
    if (bad == text.size()) break;
    std::size_t subpart;
    sequence_length(text, bad, subpart);
    repaired += kReplacement;
    at = bad + subpart;
  }
  return repaired;
}

}  // namespace deciban
