// Pre-tokenisation of a tokenizer.json: splitting normalised text into the pieces that are merged each by
// itself.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "engine/tokenizer_json.h"

namespace deciban {

struct TextPiece {
  std::string_view text;  // never empty
  bool first = false;     // begins where the document does
};

// A reference to a callable that takes a TextPiece; the callable must outlive it.
class PieceSink {
 public:
  template <class F>
  PieceSink(const F& function)  // NOLINT: implicit, to be called with lambdas
      : object_(&function),
        call_([](const void* object, TextPiece piece) { (*static_cast<const F*>(object))(piece); }) {}
  void operator()(TextPiece piece) const { call_(object_, piece); }

 private:
  const void* object_;
  void (*call_)(const void*, TextPiece);
};

// GPT-2's regular expression, the default of ByteLevel, and those of Llama-3 and Qwen2, as they stand in
// their files.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Hand-written equals of those expressions.  Every character belongs to exactly one piece.
DECIBAN_API void split_gpt2(std::string_view text, bool first, PieceSink out);
DECIBAN_API void split_llama3(std::string_view text, bool first, std::size_t most_digits, PieceSink out);

// Immutable after construction; any thread may use it.
class DECIBAN_API Pretokenizer {
 public:
  // Throws std::invalid_argument for a regular expression that can't be used.  `fast` false runs even the
  // known expressions by PCRE2 (for tests).
  explicit Pretokenizer(const std::vector<PretokenizerStep>& steps, bool fast = true);
  ~Pretokenizer();
  Pretokenizer(Pretokenizer&&) noexcept;
  Pretokenizer& operator=(Pretokenizer&&) noexcept;

  // Hands out the pieces in order; a piece's text is valid during the call.
  void split(TextPiece text, PieceSink out) const;

  struct Stage;

 private:
  std::vector<std::unique_ptr<Stage>> stages_;
};

}  // namespace deciban
