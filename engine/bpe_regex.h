// The regular expressions of tokenizer.json, which are Oniguruma's, run by PCRE2.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/export.h"

namespace deciban {

// Immutable after construction; any thread may use it.
class DECIBAN_API TokenizerRegex {
 public:
  struct Match {
    std::size_t begin, end;
  };

  // \s, \p{L} and \p{N} get the ranges of unicode_classes.h; other properties are those of the system's
  // PCRE2.  Throws std::invalid_argument for what PCRE2 refuses and for syntax that means something else to
  // it.
  explicit TokenizerRegex(const std::string& pattern);
  ~TokenizerRegex();
  TokenizerRegex(TokenizerRegex&&) noexcept;
  TokenizerRegex& operator=(TokenizerRegex&&) noexcept;

  // All matches in valid UTF-8 from left to right, without overlap; some may be empty.  Throws
  // std::runtime_error if the expression backtracks beyond measure.
  std::vector<Match> find_all(std::string_view text) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace deciban
