#include "reports/display_text.h"

#include <utf8proc.h>

#include <utility>
#include <vector>

namespace deciban {
namespace {

// One code point from the front of `text` and its size in bytes; -1 and 1 where it is not UTF-8.
std::pair<utf8proc_int32_t, std::size_t> next_character(std::string_view text) {
  utf8proc_int32_t character = -1;
  const utf8proc_ssize_t size = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                                 static_cast<utf8proc_ssize_t>(text.size()), &character);
  if (size <= 0) return {-1, 1};
  return {character, static_cast<std::size_t>(size)};
}

bool is_break(utf8proc_int32_t c) {
  return (c >= '\t' && c <= '\r') || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool is_control(utf8proc_int32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
         (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff ||
         (c >= 0xe0000 && c <= 0xe007f);
}

}  // namespace

std::string display_text(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const auto [character, size] = next_character(text);
    if (is_break(character)) {
      result += ' ';
    } else if (is_control(character)) {
      result += "\xef\xbf\xbd";
    } else {
      result += text.substr(0, size);
    }
    text.remove_prefix(size);
  }
  return result;
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const auto [character, size] = next_character(text);
    width += character < 0 ? 1 : static_cast<std::size_t>(utf8proc_charwidth(character));
    text.remove_prefix(size);
  }
  return width;
}

std::string shorten_middle(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return "";
  struct Character {
    std::size_t begin, end, width;
  };
  std::vector<Character> characters;  // each with the combining ones that follow it
  for (std::size_t at = 0; at < text.size();) {
    const auto [character, size] = next_character(text.substr(at));
    const std::size_t columns = character < 0 ? 1 : static_cast<std::size_t>(utf8proc_charwidth(character));
    if (columns == 0 && !characters.empty()) {
      characters.back().end = at + size;
    } else {
      characters.push_back({at, at + size, columns});
    }
    at += size;
  }
  const std::size_t room = width - 1, head_room = room - room / 2;
  std::size_t head = 0, used = 0;
  while (head < characters.size() && used + characters[head].width <= head_room)
    used += characters[head++].width;
  std::size_t tail = characters.size();
  while (tail > head && used + characters[tail - 1].width <= room) used += characters[--tail].width;
  const std::size_t head_end = head == 0 ? 0 : characters[head - 1].end;
  const std::size_t tail_begin = tail == characters.size() ? text.size() : characters[tail].begin;
  return std::string(text.substr(0, head_end)) + "…" + std::string(text.substr(tail_begin));
}

}  // namespace deciban
