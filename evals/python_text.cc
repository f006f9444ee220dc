#include "evals/python_text.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>

namespace deciban::python {
namespace {

struct Character {
  char32_t value;
  std::size_t bytes;
  bool valid;
};

// The character at `at`; a byte that begins none is one of its own.
Character at(std::string_view text, std::size_t at) {
  utf8proc_int32_t value = 0;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at;
  const auto size = utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size() - at), &value);
  if (size < 1) return {static_cast<unsigned char>(text[at]), 1, false};
  return {static_cast<char32_t>(value), static_cast<std::size_t>(size), true};
}

// The character that ends before `end` (> 0).
Character before(std::string_view text, std::size_t end) {
  for (std::size_t bytes = 1; bytes <= std::min<std::size_t>(4, end); ++bytes) {
    const Character one = at(text.substr(0, end), end - bytes);
    if (one.valid && one.bytes == bytes) return one;
  }
  return {static_cast<unsigned char>(text[end - 1]), 1, false};
}

void append(std::string& out, char32_t character) {
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(character), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

// Title case of more than one character (Unicode's SpecialCasing.txt); utf8proc knows only the simple ones.
struct LongTitle {
  char32_t character;
  const char* title;
};
constexpr LongTitle kLongTitles[] = {
    // clang-format off
    {0xDF,"Ss"}, {0x149,"\u02bcN"}, {0x1F0,"J\u030c"}, {0x390,"\u0399\u0308\u0301"},
    {0x3B0,"\u03a5\u0308\u0301"}, {0x587,"\u0535\u0582"}, {0x1E96,"H\u0331"}, {0x1E97,"T\u0308"},
    {0x1E98,"W\u030a"}, {0x1E99,"Y\u030a"}, {0x1E9A,"A\u02be"}, {0x1F50,"\u03a5\u0313"},
    {0x1F52,"\u03a5\u0313\u0300"}, {0x1F54,"\u03a5\u0313\u0301"}, {0x1F56,"\u03a5\u0313\u0342"},
    {0x1FB2,"\u1fba\u0345"}, {0x1FB4,"\u0386\u0345"}, {0x1FB6,"\u0391\u0342"},
    {0x1FB7,"\u0391\u0342\u0345"}, {0x1FC2,"\u1fca\u0345"}, {0x1FC4,"\u0389\u0345"},
    {0x1FC6,"\u0397\u0342"}, {0x1FC7,"\u0397\u0342\u0345"}, {0x1FD2,"\u0399\u0308\u0300"},
    {0x1FD3,"\u0399\u0308\u0301"}, {0x1FD6,"\u0399\u0342"}, {0x1FD7,"\u0399\u0308\u0342"},
    {0x1FE2,"\u03a5\u0308\u0300"}, {0x1FE3,"\u03a5\u0308\u0301"}, {0x1FE4,"\u03a1\u0313"},
    {0x1FE6,"\u03a5\u0342"}, {0x1FE7,"\u03a5\u0308\u0342"}, {0x1FF2,"\u1ffa\u0345"},
    {0x1FF4,"\u038f\u0345"}, {0x1FF6,"\u03a9\u0342"}, {0x1FF7,"\u03a9\u0342\u0345"}, {0xFB00,"Ff"},
    {0xFB01,"Fi"}, {0xFB02,"Fl"}, {0xFB03,"Ffi"}, {0xFB04,"Ffl"}, {0xFB05,"St"}, {0xFB06,"St"},
    {0xFB13,"\u0544\u0576"}, {0xFB14,"\u0544\u0565"}, {0xFB15,"\u0544\u056b"}, {0xFB16,"\u054e\u0576"},
    {0xFB17,"\u0544\u056d"},
    // clang-format on
};

constexpr char32_t kCapitalDottedI = 0x130, kCapitalSigma = 0x3A3, kSigma = 0x3C3, kFinalSigma = 0x3C2;

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool between(char32_t c, char32_t first, char32_t last) { return first <= c && c <= last; }

// Unicode's Cased: letters with case, and the few others that count as such.
bool is_cased(char32_t c) {
  const auto kind = category(c);
  if (kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LL || kind == UTF8PROC_CATEGORY_LT)
    return true;
  return c == 0xAA || c == 0xBA || between(c, 0x2160, 0x217F) || between(c, 0x24B6, 0x24E9) ||
         between(c, 0x1F130, 0x1F149) || between(c, 0x1F150, 0x1F169) || between(c, 0x1F170, 0x1F189);
}

// Unicode's Case_Ignorable: marks, modifiers, and punctuation that stands within words.
bool is_ignored(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      break;
  }
  constexpr char32_t kWithinWords[] = {0x27,   0x2E,   0x3A,   0xB7,   0x387,  0x55F,  0x5F4,  0x2018, 0x2019,
                                       0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
  return std::find(std::begin(kWithinWords), std::end(kWithinWords), c) != std::end(kWithinWords);
}

// Whether the capital sigma at [from, to) ends a word: something cased stands before it and nothing after.
bool is_final(std::string_view text, std::size_t from, std::size_t to) {
  bool follows = false;
  for (std::size_t end = from; end > 0;) {
    const Character one = before(text, end);
    end -= one.bytes;
    if (one.valid && is_ignored(one.value)) continue;
    follows = one.valid && is_cased(one.value);
    break;
  }
  if (!follows) return false;
  for (std::size_t next = to; next < text.size();) {
    const Character one = at(text, next);
    next += one.bytes;
    if (one.valid && is_ignored(one.value)) continue;
    return !(one.valid && is_cased(one.value));
  }
  return true;
}

void append_lower(std::string& out, std::string_view text, std::size_t from, const Character& one) {
  if (!one.valid) {
    out += text[from];
  } else if (one.value == kCapitalDottedI) {
    out += "i\u0307";
  } else if (one.value == kCapitalSigma) {
    append(out, is_final(text, from, from + one.bytes) ? kFinalSigma : kSigma);
  } else {
    append(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(one.value))));
  }
}

void append_title(std::string& out, const Character& one) {
  for (const LongTitle& known : kLongTitles) {
    if (known.character == one.value) {
      out += known.title;
      return;
    }
  }
  append(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(one.value))));
}

}  // namespace

bool is_space(char32_t c) {
  return between(c, 0x9, 0xD) || between(c, 0x1C, 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         between(c, 0x2000, 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

std::string_view lstrip(std::string_view text) {
  while (!text.empty()) {
    const Character one = at(text, 0);
    if (!one.valid || !is_space(one.value)) break;
    text.remove_prefix(one.bytes);
  }
  return text;
}

std::string_view rstrip(std::string_view text) {
  while (!text.empty()) {
    const Character one = before(text, text.size());
    if (!one.valid || !is_space(one.value)) break;
    text.remove_suffix(one.bytes);
  }
  return text;
}

std::string_view strip(std::string_view text) { return lstrip(rstrip(text)); }

std::size_t trailing_space(std::string_view text) { return text.size() - rstrip(text).size(); }

std::string lower(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const Character one = at(text, i);
    append_lower(out, text, i, one);
    i += one.bytes;
  }
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const Character one = at(text, i);
    if (i == 0 && one.valid) {
      append_title(out, one);
    } else {
      append_lower(out, text, i, one);
    }
    i += one.bytes;
  }
  return out;
}

std::string lower_first(std::string_view text) {
  if (text.empty()) return "";
  const std::size_t first = at(text, 0).bytes;
  return lower(text.substr(0, first)) + std::string(text.substr(first));
}

bool is_digits(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const Character one = at(text, i);
    const char32_t c = one.value;
    // Digits that are no decimals (Numeric_Type=Digit): superscripts, subscripts, circled and dotted ones.
    const bool other =
        c == 0xB2 || c == 0xB3 || c == 0xB9 || between(c, 0x1369, 0x1371) || c == 0x19DA || c == 0x2070 ||
        between(c, 0x2074, 0x2079) || between(c, 0x2080, 0x2089) || between(c, 0x2460, 0x2468) ||
        between(c, 0x2474, 0x247C) || between(c, 0x2488, 0x2490) || c == 0x24EA ||
        between(c, 0x24F5, 0x24FD) || c == 0x24FF || between(c, 0x2776, 0x277E) ||
        between(c, 0x2780, 0x2788) || between(c, 0x278A, 0x2792) || between(c, 0x10A40, 0x10A43) ||
        between(c, 0x10E60, 0x10E68) || between(c, 0x11052, 0x1105A) || between(c, 0x1F100, 0x1F10A);
    if (!one.valid || !(category(c) == UTF8PROC_CATEGORY_ND || other)) return false;
    i += one.bytes;
  }
  return !text.empty();
}

std::size_t length(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size(); ++count) i += at(text, i).bytes;
  return count;
}

std::string_view without_last(std::string_view text) {
  return text.empty() ? text : text.substr(0, text.size() - before(text, text.size()).bytes);
}

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  if (!separator.empty()) {
    for (;;) {
      const std::size_t place = text.find(separator);
      parts.emplace_back(text.substr(0, place));
      if (place == std::string_view::npos) return parts;
      text.remove_prefix(place + separator.size());
    }
  }
  for (text = lstrip(text); !text.empty(); text = lstrip(text)) {
    std::size_t end = 0;
    while (end < text.size()) {
      const Character one = at(text, end);
      if (one.valid && is_space(one.value)) break;
      end += one.bytes;
    }
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return parts;
}

std::size_t fields_between_space(std::string_view text) {
  std::size_t fields = 1;
  bool in_space = false;
  for (std::size_t i = 0; i < text.size();) {
    const Character one = at(text, i);
    const bool space = one.valid && is_space(one.value);
    if (space && !in_space) ++fields;
    in_space = space;
    i += one.bytes;
  }
  return fields;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (;;) {
    const std::size_t place = text.find(from);
    out.append(text.substr(0, place));
    if (place == std::string_view::npos) return out;
    out.append(to);
    text.remove_prefix(place + from.size());
  }
}

std::string repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  const double size = std::fabs(value);
  char digits[40];
  // Python writes an exponent below 1e-4 and from 1e16 on, with at least two digits.
  if (size != 0 && (size < 1e-4 || size >= 1e16)) {
    const auto end = std::to_chars(digits, std::end(digits), value, std::chars_format::scientific).ptr;
    return {digits, end};
  }
  const auto end = std::to_chars(digits, std::end(digits), value, std::chars_format::fixed).ptr;
  std::string text(digits, end);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::string ascii_json(std::string_view text) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size();) {
    const Character one = at(text, i);
    const char32_t c = one.value;
    i += one.bytes;
    switch (c) {
      case '"':
        out += "\\\"";
        continue;
      case '\\':
        out += "\\\\";
        continue;
      case '\n':
        out += "\\n";
        continue;
      case '\r':
        out += "\\r";
        continue;
      case '\t':
        out += "\\t";
        continue;
      case '\b':
        out += "\\b";
        continue;
      case '\f':
        out += "\\f";
        continue;
      default:
        break;
    }
    if (c >= 0x10000) {
      const char32_t rest = c - 0x10000;
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + static_cast<unsigned>(rest >> 10),
                         0xDC00 + static_cast<unsigned>(rest & 0x3FF));
    } else if (c < 0x20 || c > 0x7E) {
      out += c == 0x7F ? std::string("\x7f") : fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += static_cast<char>(c);
    }
  }
  return out + '"';
}

}  // namespace deciban::python
