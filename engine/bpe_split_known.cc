// The regular expressions that most models use, by hand: several times as fast as running them.
#include "engine/bpe_pretokenize.h"
#include "engine/unicode_classes.h"
#include "engine/utf8.h"

namespace deciban {

namespace {

using enum CharacterClass;

// Looks at characters of one text by class.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text), classes_(CharacterClasses::get()) {}

  struct Character {
    CharacterClass character_class;
    std::size_t length;  // 0: the end of the text
    char32_t value;
  };
  Character at(std::size_t i) const {
    if (i >= text_.size()) return {other, 0, 0};
    const CodePoint c = code_point_at(text_, i);
    return {classes_[c.value], c.length, c.value};
  }
  // The end of the longest run of a class from i on, of at most `most` characters.
  std::size_t run(std::size_t i, CharacterClass wanted, std::size_t most = ~std::size_t{0}) const {
    for (; most > 0; --most) {
      const Character c = at(i);
      if (c.length == 0 || c.character_class != wanted) break;
      i += c.length;
    }
    return i;
  }
  // The end of \s+(?!\S)|\s+ at i, which is white space: all of the run at the end of the text, else all but
  // its last character, if that leaves one.
  std::size_t white_space(std::size_t i) const {
    std::size_t end = i, last = i;
    for (Character c = at(end); c.length && c.character_class == space; c = at(end)) {
      last = end;
      end += c.length;
    }
    return end == text_.size() || last == i ? end : last;
  }

 private:
  std::string_view text_;
  const CharacterClasses& classes_;
};

// The length of an English contraction's end at i, where the apostrophe stands, or 0.
std::size_t contraction(std::string_view text, std::size_t i, bool any_case) {
  const auto letter = [&](std::size_t k) -> char {
    if (i + k >= text.size()) return 0;
    const char c = text[i + k];
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char first = letter(1), second = letter(2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l'))
    return 3;
  // U+017F, the long s, is an s to expressions that ignore case.
  if (any_case && text.substr(i + 1).starts_with("\xC5\xBF")) return 3;
  return 0;
}

bool is_line_end(char32_t c) { return c == '\r' || c == '\n'; }

}  // namespace

void split_gpt2(std::string_view text, bool first, PieceSink out) {
  const Reader reader(text);
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = 0;
    if (text[i] == '\'') {
      if (const std::size_t length = contraction(text, i, false)) end = i + length;
    }
    if (!end) {
      const Reader::Character c = reader.at(i), next = reader.at(i + 1);
      if (text[i] == ' ' && next.length && next.character_class != space) {
        end = reader.run(i + 1, next.character_class);
      } else if (c.character_class == space) {
        end = reader.white_space(i);
      } else {
        end = reader.run(i, c.character_class);
      }
    }
    out({text.substr(i, end - i), first && i == 0});
    i = end;
  }
}

void split_llama3(std::string_view text, bool first, std::size_t most_digits, PieceSink out) {
  const Reader reader(text);
  // [\r\n]* after other characters.
  const auto line_ends = [&](std::size_t i) {
    while (i < text.size() && is_line_end(static_cast<unsigned char>(text[i]))) ++i;
    return i;
  };
  // \s*[\r\n]+|\s+(?!\S)|\s+ : to the last line end of the run if there is one.
  const auto white_space = [&](std::size_t i) {
    std::size_t after_line_end = 0, end = i;
    for (Reader::Character c = reader.at(end); c.length && c.character_class == space; c = reader.at(end)) {
      end += c.length;
      if (is_line_end(c.value)) after_line_end = end;
    }
    return after_line_end ? after_line_end : reader.white_space(i);
  };
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = 0;
    if (text[i] == '\'') {
      if (const std::size_t length = contraction(text, i, true)) end = i + length;
    }
    if (!end) {
      const Reader::Character c = reader.at(i), next = reader.at(i + c.length);
      const bool next_is_letter = next.length && next.character_class == letter;
      if (c.character_class == letter) {
        end = reader.run(i, letter);
      } else if (next_is_letter && c.character_class != number && !is_line_end(c.value)) {
        end = reader.run(i + c.length, letter);
      } else if (c.character_class == number) {
        end = reader.run(i, number, most_digits);
      } else if (c.character_class == other) {
        end = line_ends(reader.run(i, other));
      } else if (c.value == ' ' && next.length && next.character_class == other) {
        end = line_ends(reader.run(i + 1, other));
      } else {
        end = white_space(i);
      }
    }
    out({text.substr(i, end - i), first && i == 0});
    i = end;
  }
}

}  // namespace deciban
