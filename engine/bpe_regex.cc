#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/bpe_regex.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <stdexcept>

#include "engine/unicode_classes.h"
#include "engine/utf8.h"

namespace deciban {

namespace {

std::string ranges_of(CharacterClass wanted) {
  std::string ranges;
  for (const CharacterRange& range : character_ranges()) {
    if (range.character_class == wanted) {
      ranges += fmt::format("\\x{{{:X}}}-\\x{{{:X}}}", static_cast<std::uint32_t>(range.first),
                            static_cast<std::uint32_t>(range.last));
    }
  }
  return ranges;
}

// The escape at `at` (a backslash) if it stands for one of our classes: its length, class, and whether it is
// negated.
struct ClassEscape {
  std::size_t length = 0;
  CharacterClass character_class = CharacterClass::other;
  bool negated = false;
};

ClassEscape class_escape(std::string_view pattern, std::size_t at) {
  struct Spelling {
    std::string_view text;
    CharacterClass character_class;
    bool negated;
  };
  static constexpr Spelling kSpellings[] = {
      {"\\s", CharacterClass::space, false},     {"\\S", CharacterClass::space, true},
      {"\\p{L}", CharacterClass::letter, false}, {"\\P{L}", CharacterClass::letter, true},
      {"\\p{^L}", CharacterClass::letter, true}, {"\\p{N}", CharacterClass::number, false},
      {"\\P{N}", CharacterClass::number, true},  {"\\p{^N}", CharacterClass::number, true},
  };
  for (const Spelling& spelling : kSpellings) {
    if (pattern.substr(at).starts_with(spelling.text)) {
      return {spelling.text.size(), spelling.character_class, spelling.negated};
    }
  }
  return {};
}

std::string to_pcre2(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size();) {
    const char c = pattern[i];
    if (c == '\\') {
      const ClassEscape escape = class_escape(pattern, i);
      if (!escape.length) {
        out += pattern.substr(i, 2);
        i += 2;
        continue;
      }
      if (in_class && escape.negated) {
        throw std::invalid_argument(fmt::format("the negated class {} inside [...] is not supported",
                                                pattern.substr(i, escape.length)));
      }
      const std::string ranges = ranges_of(escape.character_class);
      out += in_class ? ranges : (escape.negated ? "[^" : "[") + ranges + "]";
      i += escape.length;
      continue;
    }
    if (in_class && (c == '[' || pattern.substr(i, 2) == "&&")) {
      throw std::invalid_argument("nested character classes and intersections (&&) are not supported");
    }
    if (!in_class && c == '[') {
      in_class = true;
      out += c;
      ++i;
      if (i < pattern.size() && pattern[i] == '^') out += pattern[i++];
      if (i < pattern.size() && pattern[i] == ']') out += "\\]", ++i;  // literal in first place
      continue;
    }
    if (in_class && c == ']') in_class = false;
    out += c;
    ++i;
  }
  return out;
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

std::string pcre2_message(int error) {
  PCRE2_UCHAR message[256];
  pcre2_get_error_message(error, message, sizeof message);
  return reinterpret_cast<const char*>(message);
}

}  // namespace

struct TokenizerRegex::Compiled {
  std::string pattern;
  std::unique_ptr<pcre2_code, FreeCode> code;
};

TokenizerRegex::TokenizerRegex(const std::string& pattern) : compiled_(std::make_unique<Compiled>()) {
  compiled_->pattern = pattern;
  int error = 0;
  PCRE2_SIZE at = 0;
  const std::string translated = to_pcre2(pattern);
  compiled_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr));
  if (!compiled_->code) {
    throw std::invalid_argument(
        fmt::format("the regular expression '{}' is not valid: {}", pattern, pcre2_message(error)));
  }
  // Without a JIT compiler for this machine the interpreter serves.
  pcre2_jit_compile(compiled_->code.get(), PCRE2_JIT_COMPLETE);
}

TokenizerRegex::~TokenizerRegex() = default;
TokenizerRegex::TokenizerRegex(TokenizerRegex&&) noexcept = default;
TokenizerRegex& TokenizerRegex::operator=(TokenizerRegex&&) noexcept = default;

std::vector<TokenizerRegex::Match> TokenizerRegex::find_all(std::string_view text) const {
  const pcre2_code* code = compiled_->code.get();
  const std::unique_ptr<pcre2_match_data, FreeMatch> data(
      pcre2_match_data_create_from_pattern(code, nullptr));
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::vector<Match> matches;
  std::size_t last_end = std::string_view::npos;
  for (std::size_t at = 0; at <= text.size();) {
    int found = pcre2_match(code, subject, text.size(), at, PCRE2_NO_UTF_CHECK, data.get(), nullptr);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      found =
          pcre2_match(code, subject, text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data.get(), nullptr);
    }
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) {
      throw std::runtime_error(
          fmt::format("the tokenizer's regular expression '{}' can't be run on this text: {}",
                      compiled_->pattern, pcre2_message(found)));
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    // \K in a look-around can give bounds in any order.
    const std::size_t begin = bounds[0], end = bounds[1];
    if (begin < at || end < begin) {
      throw std::runtime_error(
          fmt::format("the tokenizer's regular expression '{}' matches backwards", compiled_->pattern));
    }
    // An empty match right behind the last one does not count, as in Oniguruma's own iteration.
    if (end > begin || begin != last_end) matches.push_back({begin, end});
    last_end = end;
    at = end;
    if (end == begin) at += at < text.size() ? code_point_at(text, at).length : 1;
  }
  return matches;
}

}  // namespace deciban
