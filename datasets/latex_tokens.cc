#include "datasets/latex_tokens.h"

#include <algorithm>
#include <array>
#include <string>

namespace deciban {
namespace {

// Characters that end a run of text.
constexpr std::array<bool, 256> special_characters() {
  std::array<bool, 256> special{};
  for (const char c : {'\\', '{', '}', '$', '&', '#', '%', '~', '[', ']', ' ', '\t', '\n', '\r', '\f', '\v'})
    special[static_cast<unsigned char>(c)] = true;
  return special;
}
constexpr std::array<bool, 256> kSpecial = special_characters();

}  // namespace

std::size_t first_character(std::string_view text) {
  if (text.empty()) return 0;
  std::size_t size = 1;
  if (static_cast<unsigned char>(text[0]) < 0xC0) return 1;
  while (size < text.size() && size < 4 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) ++size;
  return size;
}

void LatexLexer::skip_comment() {
  while (at_byte_ < file_.size() && file_[at_byte_] != '\n' && file_[at_byte_] != '\r') ++at_byte_;
  if (at_byte_ < file_.size() && file_[at_byte_] == '\r') ++at_byte_;
  if (at_byte_ < file_.size() && file_[at_byte_] == '\n') ++at_byte_;
  while (at_byte_ < file_.size() && (file_[at_byte_] == ' ' || file_[at_byte_] == '\t')) ++at_byte_;
}

bool LatexLexer::next(Token& token) {
  while (at_byte_ < file_.size() && file_[at_byte_] == '%') {
    skip_comment();
    // A blank line behind a comment's line ends the paragraph all the same.
    if (at_byte_ < file_.size() && (file_[at_byte_] == '\n' || file_[at_byte_] == '\r')) {
      while (at_byte_ < file_.size() && is_tex_space(file_[at_byte_])) ++at_byte_;
      token = {TokenKind::paragraph, {}};
      return true;
    }
  }
  if (at_byte_ >= file_.size()) return false;
  const std::size_t from = at_byte_;
  const char c = file_[at_byte_++];
  const auto take = [&](TokenKind kind) {
    token = {kind, file_.substr(from, at_byte_ - from)};
    return true;
  };
  switch (c) {
    case '{':
      return take(TokenKind::begin_group);
    case '}':
      return take(TokenKind::end_group);
    case '$':
      return take(TokenKind::math);
    case '&':
      return take(TokenKind::align);
    case '~':
      return take(TokenKind::space);
    case '[':
    case ']':
      return take(TokenKind::text);
    case '#':
      while (at_byte_ < file_.size() && file_[at_byte_] == '#') ++at_byte_;
      if (at_byte_ < file_.size() && file_[at_byte_] >= '1' && file_[at_byte_] <= '9') {
        ++at_byte_;
        return take(TokenKind::parameter);
      }
      return take(TokenKind::text);
    case '\\':
      break;
    default: {
      if (is_tex_space(c)) {
        --at_byte_;
        std::size_t lines = 0;
        for (; at_byte_ < file_.size() && is_tex_space(file_[at_byte_]); ++at_byte_) {
          // "\r\n" is one line's end, and so is a "\r" alone.
          const bool both = file_[at_byte_] == '\r' && file_.substr(at_byte_ + 1).starts_with('\n');
          if ((file_[at_byte_] == '\n' || file_[at_byte_] == '\r') && !both) ++lines;
        }
        return take(lines >= 2 ? TokenKind::paragraph : TokenKind::space);
      }
      while (at_byte_ < file_.size() && !kSpecial[static_cast<unsigned char>(file_[at_byte_])]) ++at_byte_;
      return take(TokenKind::text);
    }
  }
  const auto in_name = [&](char letter) { return is_tex_letter(letter) || (at_ && letter == '@'); };
  if (at_byte_ >= file_.size()) {
    token = {TokenKind::space, {}};
    return true;
  }
  if (!in_name(file_[at_byte_])) {
    at_byte_ += first_character(file_.substr(at_byte_));
    token = {TokenKind::command, file_.substr(from + 1, at_byte_ - from - 1)};
    return true;
  }
  while (at_byte_ < file_.size() && in_name(file_[at_byte_])) ++at_byte_;
  token = {TokenKind::command, file_.substr(from + 1, at_byte_ - from - 1)};
  // Spaces after a command of letters are part of it, but a blank line is not.
  std::size_t lines = 0, end = at_byte_;
  for (; end < file_.size() && is_tex_space(file_[end]); ++end) {
    const bool both = file_[end] == '\r' && file_.substr(end + 1).starts_with('\n');
    if ((file_[end] == '\n' || file_[end] == '\r') && !both) ++lines;
  }
  if (lines < 2) at_byte_ = end;
  return true;
}

std::string_view LatexLexer::raw_until(std::string_view end) {
  const std::size_t found = file_.find(end, at_byte_);
  const std::string_view raw =
      file_.substr(at_byte_, found == std::string_view::npos ? found : found - at_byte_);
  at_byte_ = found == std::string_view::npos ? file_.size() : found + end.size();
  return raw;
}

std::string_view LatexLexer::raw_group() {
  std::size_t at = at_byte_;
  while (at < file_.size() && is_tex_space(file_[at])) ++at;
  if (at >= file_.size() || file_[at] != '{') return {};
  const std::size_t from = ++at;
  // An address is never longer: an unbalanced brace must not swallow the paper.
  constexpr std::size_t kLongest = 4096;
  std::size_t depth = 1;
  for (; at < file_.size() && at - from < kLongest; ++at) {
    if (file_[at] == '\\') {
      ++at;
    } else if (file_[at] == '{') {
      ++depth;
    } else if (file_[at] == '}' && --depth == 0) {
      at_byte_ = at + 1;
      return file_.substr(from, at - from);
    }
  }
  return {};
}

std::string_view LatexLexer::raw_delimited() {
  std::size_t at = at_byte_;
  if (at < file_.size() && file_[at] == '*') ++at;
  if (at >= file_.size() || is_tex_space(file_[at])) return {};
  const char delimiter = file_[at];
  const std::size_t end = file_.find_first_of(std::string{delimiter, '\n'}, at + 1);
  if (end == std::string_view::npos || file_[end] == '\n') return {};
  at_byte_ = end + 1;
  return file_.substr(at + 1, end - at - 1);
}

}  // namespace deciban
