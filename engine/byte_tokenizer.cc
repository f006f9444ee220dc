#include <fmt/format.h>

#include "engine/tokenizer.h"
#include "engine/vocabulary_file.h"

namespace deciban {

namespace {

// Ids are byte values.  Models trained so separate documents by 0, which text hardly contains.
class ByteTokenizer final : public Tokenizer {
 public:
  std::string name() const override { return "bytes"; }
  std::string digest() const override { return text_digest("bytes"); }
  std::size_t size() const override { return 256; }
  bool fits(std::size_t rows) const override { return rows == 256 || rows == 257; }
  std::vector<Token> encode(std::string_view text) const override {
    std::vector<Token> tokens(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) tokens[i] = static_cast<unsigned char>(text[i]);
    return tokens;
  }
  std::string decode(std::span<const Token> tokens) const override {
    std::string text;
    text.reserve(tokens.size());
    for (const Token token : tokens) {
      if (token >= 0 && token < 256) text += static_cast<char>(token);
    }
    return text;
  }
  std::optional<Token> start_token() const override { return 0; }
};

}  // namespace

std::unique_ptr<Tokenizer> byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

}  // namespace deciban
