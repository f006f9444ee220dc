#include "datasets/paper_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>

namespace deciban {
namespace {

// Stands in a paragraph where something was left out.  Control characters of the input never get here.
constexpr char kHole = '\x01';

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

// Bytes of the space-like or invisible character that `text` begins with, and whether it shows as a space.
struct Blank {
  std::size_t bytes = 0;
  bool space = false;
};

Blank blank_at(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  if (byte(0) == 0xC2) {
    if (byte(1) == 0xA0) return {2, true};                               // no-break space
    if (byte(1) == 0xAD) return {2, false};                              // soft hyphen
    if (byte(1) >= 0x80 && byte(1) < 0xA0) return {2, byte(1) == 0x85};  // C1 controls; NEL is a line's end
    return {};
  }
  if (byte(0) == 0xE2 && byte(1) == 0x80) {
    if (byte(2) >= 0x80 && byte(2) <= 0x8A) return {3, true};   // en quad … hair space
    if (byte(2) >= 0x8B && byte(2) <= 0x8F) return {3, false};  // zero width space, joiners, directions
    if (byte(2) == 0xA8 || byte(2) == 0xA9 || byte(2) == 0xAF) return {3, true};
    return {};
  }
  if (byte(0) == 0xE2 && byte(1) == 0x81) {
    if (byte(2) == 0x9F) return {3, true};                      // medium mathematical space
    if (byte(2) >= 0xA0 && byte(2) <= 0xAF) return {3, false};  // word joiner, invisible operators
    return {};
  }
  if (byte(0) == 0xE3 && byte(1) == 0x80 && byte(2) == 0x80) return {3, true};
  if (byte(0) == 0xEF && byte(1) == 0xBB && byte(2) == 0xBF) return {3, false};  // byte-order mark
  return {};
}

bool closes(char c) { return std::string_view(",.;:)]!?").find(c) != std::string_view::npos; }

// Whether a bracket holds no more than words that announced what was left out.
bool announces_only(std::string_view inside) {
  constexpr std::string_view kWords[] = {"see",  "e.g.",  "e.g",      "i.e.",     "cf.",  "cf",
                                         "see,", "e.g.,", "see also", "see e.g.", "also", "and"};
  const auto trim = [](char c) { return c == ' ' || c == ',' || c == ';' || c == kHole; };
  while (!inside.empty() && trim(inside.back())) inside.remove_suffix(1);
  while (!inside.empty() && trim(inside.front())) inside.remove_prefix(1);
  return inside.empty() || std::find(std::begin(kWords), std::end(kWords), inside) != std::end(kWords);
}

std::string without_holes(std::string_view paragraph) {
  std::string out;
  out.reserve(paragraph.size());
  for (std::size_t i = 0; i < paragraph.size(); ++i) {
    if (paragraph[i] != kHole) {
      out += paragraph[i];
      continue;
    }
    // Several things left out in a row are one hole, with what stood between them.
    std::size_t end = i + 1;
    for (std::size_t k = end; k < paragraph.size(); ++k) {
      if (paragraph[k] == kHole) {
        end = k + 1;
      } else if (paragraph[k] != ' ' && paragraph[k] != ',' && paragraph[k] != ';') {
        break;
      }
    }
    i = end - 1;
    std::size_t next = end;
    while (next < paragraph.size() && paragraph[next] == ' ') ++next;
    const char after = next < paragraph.size() ? paragraph[next] : '\0';
    // Only the last few words may be an announcement: looking further back would cost much for nothing.
    constexpr std::size_t kLongestAnnouncement = 24;
    if (after == ')' || after == ']') {
      const std::size_t open = out.rfind(after == ')' ? '(' : '[');
      if (open != std::string::npos && out.size() - open <= kLongestAnnouncement &&
          announces_only(std::string_view(out).substr(open + 1))) {
        out.resize(open);
        i = next;
        end = next + 1;
        next = end;
        while (next < paragraph.size() && paragraph[next] == ' ') ++next;
      }
    }
    const char follows = next < paragraph.size() ? paragraph[next] : '\0';
    if (!out.empty() && out.back() == ' ' && (follows == '\0' || closes(follows))) out.pop_back();
    if ((out.empty() || out.back() == ' ' || closes(follows)) && next > end) i = next - 1;
    // "Eq. ([2])." → "Eq."
    if (!out.empty() && out.back() == follows && (follows == '.' || follows == ',')) i = next;
    // "([3], Theorem 2)" → "(Theorem 2)".
    if (!out.empty() && (out.back() == '(' || out.back() == '[') && (follows == ',' || follows == ';')) {
      while (next < paragraph.size() && (closes(paragraph[next]) || paragraph[next] == ' ') &&
             paragraph[next] != ')' && paragraph[next] != ']')
        ++next;
      i = next - 1;
    }
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// Windows-1252 beyond Latin-1; 0 where it has nothing.
constexpr std::array<std::uint16_t, 32> kWindows1252 = {
    0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// Bytes of the well-formed character at the beginning of `text`; 0 if there is none.
std::size_t character_at(std::string_view text) {
  utf8proc_int32_t code = 0;
  const auto bytes =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                       static_cast<utf8proc_ssize_t>(std::min<std::size_t>(text.size(), 4)), &code);
  return bytes > 0 && code >= 0 ? static_cast<std::size_t>(bytes) : 0;
}

std::string well_formed(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t bytes = static_cast<unsigned char>(text[i]) < 0x80 ? 1 : character_at(text.substr(i));
    out += bytes == 0 ? kReplacement : text.substr(i, bytes);
    i += std::max<std::size_t>(bytes, 1);
  }
  return out;
}

}  // namespace

void TextFlow::add(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    if (is_space(c)) {
      pending_space_ = true;
      ++i;
      continue;
    }
    if (byte < 0x20 || byte == 0x7F) {
      ++i;
      continue;
    }
    if (byte >= 0xC2) {
      if (const Blank blank = blank_at(text.substr(i)); blank.bytes > 0) {
        if (blank.space) pending_space_ = true;
        i += blank.bytes;
        continue;
      }
    }
    if (pending_space_) {
      if (!current_.empty()) current_ += ' ';
      pending_space_ = false;
    }
    // All that follows up to the next byte that needs a look, at once.
    std::size_t end = i + 1;
    while (end < text.size()) {
      const auto next = static_cast<unsigned char>(text[end]);
      if (next <= 0x20 || next == 0x7F || next == 0xC2 || next == 0xE2 || next == 0xE3 || next == 0xEF) break;
      ++end;
    }
    current_.append(text, i, end - i);
    size_ += end - i;
    i = end;
  }
}

void TextFlow::hole() {
  if (pending_space_ && !current_.empty()) current_ += ' ';
  pending_space_ = false;
  current_ += kHole;
}

void TextFlow::append_paragraph(std::string paragraph) {
  if (paragraph.empty()) return;
  if (!paragraphs_.empty()) paragraphs_ += "\n\n";
  paragraphs_ += paragraph;
}

void TextFlow::end_paragraph() {
  if (!current_.empty()) append_paragraph(without_holes(current_));
  current_.clear();
  pending_space_ = false;
  for (std::string& note : notes_) append_paragraph(std::move(note));
  notes_.clear();
}

void TextFlow::note(std::string text) {
  if (text.empty()) return;
  size_ += text.size();
  notes_.push_back(std::move(text));
}

void TextFlow::math(std::string_view tex, bool display, Math how) {
  while (!tex.empty() && is_space(tex.front())) tex.remove_prefix(1);
  while (!tex.empty() && is_space(tex.back())) tex.remove_suffix(1);
  if (tex.empty()) return;
  if (display) space();
  if (how == Math::drop) {
    hole();
  } else if (how == Math::token) {
    add("[MATH]");
  } else {
    const char* const dollars = display ? "$$" : "$";
    add(dollars);
    add(tex);
    pending_space_ = false;
    add(dollars);
  }
  if (display) space();
}

std::string TextFlow::take() {
  end_paragraph();
  std::string text = nfc(paragraphs_);
  paragraphs_.clear();
  size_ = 0;
  return text;
}

std::string as_utf8(std::string_view bytes) {
  std::string out;
  if (is_ascii(bytes)) return std::string(bytes);
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t length =
        static_cast<unsigned char>(bytes[i]) < 0x80 ? 1 : character_at(bytes.substr(i));
    if (length == 0) {
      out.reserve(bytes.size() * 2);
      for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x80) {
          out += c;
          continue;
        }
        const utf8proc_int32_t code = byte < 0xA0 ? kWindows1252[byte - 0x80] : byte;
        utf8proc_uint8_t encoded[4];
        const auto size = code == 0 ? 0 : utf8proc_encode_char(code, encoded);
        out.append(reinterpret_cast<const char*>(encoded), static_cast<std::size_t>(size));
      }
      return out;
    }
    i += length;
  }
  return std::string(bytes);
}

std::string nfc(std::string_view text) {
  if (is_ascii(text)) return std::string(text);
  const std::string clean = well_formed(text);
  utf8proc_uint8_t* mapped = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(clean.data()),
                                 static_cast<utf8proc_ssize_t>(clean.size()), &mapped,
                                 static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(mapped, &std::free);
  if (size < 0) throw std::runtime_error(utf8proc_errmsg(size));
  return {reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size)};
}

std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    if (!is_space(c)) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace deciban
