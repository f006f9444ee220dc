#include "engine/unicode_normalize.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <vector>

#include "engine/utf8.h"

namespace deciban {

namespace {

struct Range {
  char32_t first, last;
};

// Characters that NFC never changes, that never combine with what precedes them, and whose combining class is
// 0: text of these alone needs no work.  Not all such characters; those that make up most texts.
constexpr Range kUnchanging[] = {
    {0x0000, 0x02FF},   {0x0400, 0x0482},   {0x048A, 0x052F}, {0x05D0, 0x05EA}, {0x0621, 0x064A},
    {0x0E01, 0x0E37},   {0x2010, 0x2027},   {0x2030, 0x205E}, {0x2070, 0x208E}, {0x20A0, 0x20BF},
    {0x2190, 0x2328},   {0x2460, 0x2ADB},   {0x3001, 0x3029}, {0x3041, 0x3096}, {0x30A0, 0x30FF},
    {0x4E00, 0x9FEA},   {0xAC00, 0xD7A3},   {0xFF01, 0xFF60}, {0xFFFD, 0xFFFD}, {0x1F300, 0x1F64F},
    {0x1F680, 0x1F6D4}, {0x1F900, 0x1F90B},
};

// Characters that got a combining class, a composition or a decomposition after Unicode 9.
constexpr Range kInert[] = {
    {0x05C8, 0x05C9},   {0x07FD, 0x07FD},   {0x0897, 0x089F},   {0x08CA, 0x08D3},   {0x09FE, 0x09FE},
    {0x0C3C, 0x0C3C},   {0x0D3B, 0x0D3C},   {0x0EBA, 0x0EBA},   {0x1715, 0x1715},   {0x1ABF, 0x1AF0},
    {0x1DF6, 0x1DFA},   {0x32FF, 0x32FF},   {0xA7F1, 0xA7F4},   {0xA82C, 0xA82C},   {0xAB69, 0xAB69},
    {0x105C9, 0x105C9}, {0x105D2, 0x105D2}, {0x105DA, 0x105DA}, {0x105E4, 0x105E4}, {0x10781, 0x107BA},
    {0x10D24, 0x10D27}, {0x10D69, 0x10D6D}, {0x10EAB, 0x10EAC}, {0x10ECB, 0x10ECF}, {0x10EF0, 0x10EFB},
    {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
    {0x11382, 0x113D0}, {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11938}, {0x1193D, 0x1193E},
    {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99},
    {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x1611E, 0x1612F},
    {0x16D63, 0x16D6A}, {0x16FF0, 0x16FF1}, {0x1CCD6, 0x1CCF9}, {0x1D127, 0x1D128}, {0x1D250, 0x1D252},
    {0x1D25B, 0x1D25C}, {0x1D25F, 0x1D25F}, {0x1D280, 0x1D281}, {0x1E030, 0x1E06D}, {0x1E08F, 0x1E08F},
    {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1E5EE, 0x1E5EF},
    {0x1E6E3, 0x1E6E3}, {0x1E6E6, 0x1E6E6}, {0x1E6EE, 0x1E6EF}, {0x1E6F5, 0x1E6F5}, {0x1F16C, 0x1F16C},
    {0x1FBF0, 0x1FBF9},
};

template <std::size_t N>
bool contains(const Range (&ranges)[N], char32_t value) {
  const Range* after = std::upper_bound(std::begin(ranges), std::end(ranges), value,
                                        [](char32_t v, const Range& range) { return v < range.first; });
  return after != std::begin(ranges) && value <= (after - 1)->last;
}

int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

// utf8proc_map() would do all this, but it sorts marks in quadratic time, which a hostile text can make it
// feel.
void append_normalized(std::string& out, std::string_view text, NormalForm form) {
  const bool compose = form == NormalForm::nfc || form == NormalForm::nfkc;
  const bool compatible = form == NormalForm::nfkc || form == NormalForm::nfkd;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | (compatible ? UTF8PROC_COMPAT : 0) |
                                                      (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE));
  std::vector<utf8proc_int32_t> characters;
  characters.reserve(text.size() / 2 + 1);
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    at += c.length;
    utf8proc_int32_t parts[32];  // the longest decomposition in Unicode has 18 characters
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.value), parts, 32, options, nullptr);
    if (count < 0 || count > 32) {
      throw std::runtime_error(fmt::format("Unicode normalisation of U+{:04X} failed: {}",
                                           static_cast<std::uint32_t>(c.value), utf8proc_errmsg(count)));
    }
    characters.insert(characters.end(), parts, parts + count);
  }
  for (auto begin = characters.begin(); begin != characters.end();) {
    const auto is_starter = [](utf8proc_int32_t c) { return combining_class(c) == 0; };
    begin = std::find_if_not(begin, characters.end(), is_starter);
    const auto end = std::find_if(begin, characters.end(), is_starter);
    std::stable_sort(begin, end, [](utf8proc_int32_t a, utf8proc_int32_t b) {
      return combining_class(a) < combining_class(b);
    });
    begin = end;
  }
  auto length = static_cast<utf8proc_ssize_t>(characters.size());
  if (compose) length = utf8proc_normalize_utf32(characters.data(), length, options);
  for (utf8proc_ssize_t i = 0; i < length; ++i) append_utf8(out, static_cast<char32_t>(characters[i]));
}

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

}  // namespace

std::string normalize(std::string_view text, NormalForm form) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    // ASCII never changes, and nothing before an ASCII character acts on what follows it: only runs of other
    // characters need work, with the one ASCII character before them, which they may combine with.
    std::size_t begin = at;
    while (begin < text.size() && is_ascii(text[begin])) ++begin;
    if (begin == text.size()) {
      out.append(text.substr(at));
      break;
    }
    std::size_t end = begin;
    bool unchanging = form == NormalForm::nfc;
    while (end < text.size() && !is_ascii(text[end])) {
      const CodePoint c = code_point_at(text, end);
      unchanging = unchanging && contains(kUnchanging, c.value);
      end += c.length;
    }
    if (unchanging) {
      out.append(text.substr(at, end - at));
      at = end;
      continue;
    }
    if (begin > at) --begin;
    out.append(text.substr(at, begin - at));
    std::size_t part = begin;
    for (std::size_t i = begin; i < end;) {
      const CodePoint c = code_point_at(text, i);
      if (contains(kInert, c.value)) {
        append_normalized(out, text.substr(part, i - part), form);
        out.append(text.substr(i, c.length));
        part = i + c.length;
      }
      i += c.length;
    }
    append_normalized(out, text.substr(part, end - part), form);
    at = end;
  }
  return out;
}

}  // namespace deciban
