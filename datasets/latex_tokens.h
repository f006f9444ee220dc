// TeX's tokens, as far as the text of a paper needs them: a lexer over one file that copies nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace deciban {

enum class TokenKind : std::uint8_t {
  text,         // a run of other characters; '[' and ']' stand alone
  space,        // any white space within a paragraph, and "~"
  paragraph,    // a blank line
  command,      // text: the name without its backslash
  primitive,    // a command as it was before the paper gave it another meaning; made by \let only
  begin_group,  // {
  end_group,    // }
  math,         // $
  align,        // &
  parameter,    // #1; text: the '#'s and the digit
};

struct Token {
  TokenKind kind = TokenKind::text;
  std::string_view text;  // into the file; it must outlive the token
};

class LatexLexer {
 public:
  explicit LatexLexer(std::string_view file) : file_(file) {}

  // False at the end.
  bool next(Token& token);
  // Whether '@' counts as a letter in commands (\makeatletter).
  void letter_at(bool on) { at_ = on; }
  // Moves behind the next `end` and returns what was before it; all the rest if there is none.
  std::string_view raw_until(std::string_view end);
  // The characters of a balanced {…} that follows, without its braces, or of a pair of equal characters as
  // \verb has them; empty and unmoved if there is no such thing.
  std::string_view raw_group();
  std::string_view raw_delimited();

 private:
  void skip_comment();

  std::string_view file_;
  std::size_t at_byte_ = 0;
  bool at_ = false;
};

// Of TeX's category codes in plain files.
constexpr bool is_tex_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_tex_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

// Bytes of the UTF-8 character that `text` begins with (1 for a stray byte); 0 for an empty text.
std::size_t first_character(std::string_view text);

}  // namespace deciban
