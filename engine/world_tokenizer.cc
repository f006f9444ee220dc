#include <fmt/format.h>

#include "engine/byte_trie.h"
#include "engine/tokenizer.h"
#include "engine/vocabulary_file.h"
#include "engine/world_vocabulary.h"

namespace deciban {

namespace {

// Longest match at each position; no normalisation, no special tokens, any bytes.
class WorldTokenizer final : public Tokenizer {
 public:
  WorldTokenizer(WorldVocabulary vocabulary, std::string digest)
      : vocabulary_(std::move(vocabulary)), digest_(std::move(digest)) {
    std::vector<std::pair<std::string, std::int32_t>> entries;
    entries.reserve(vocabulary_.size());
    for (std::size_t id = 0; id < vocabulary_.size(); ++id) {
      if (!vocabulary_[id].empty()) entries.emplace_back(vocabulary_[id], static_cast<std::int32_t>(id));
    }
    trie_ = ByteTrie(std::move(entries));
  }

  std::string name() const override { return "world"; }
  std::string digest() const override { return digest_; }
  std::size_t size() const override { return vocabulary_.size(); }
  // Embeddings are padded to a multiple of 64: 65,530 ids in 65,536 rows.
  bool fits(std::size_t rows) const override { return rows >= size() && rows <= (size() + 63) / 64 * 64; }

  std::vector<Token> encode(std::string_view text) const override {
    std::vector<Token> tokens;
    tokens.reserve(text.size() / 3 + 1);
    while (!text.empty()) {
      // Every single byte is a token, so there is always a match.
      const ByteTrie::Match match = trie_.longest_prefix(text);
      tokens.push_back(match.value);
      text.remove_prefix(match.length);
    }
    return tokens;
  }

  std::string decode(std::span<const Token> tokens) const override {
    std::string text;
    for (const Token token : tokens) {
      if (token >= 0 && static_cast<std::size_t>(token) < vocabulary_.size()) text += vocabulary_[token];
    }
    return text;
  }

  std::optional<Token> start_token() const override { return 0; }

 private:
  WorldVocabulary vocabulary_;
  std::string digest_;
  ByteTrie trie_;
};

}  // namespace

std::unique_ptr<Tokenizer> world_tokenizer(const std::filesystem::path& vocabulary) {
  const VocabularyFile file = read_vocabulary_file(vocabulary);
  return std::make_unique<WorldTokenizer>(parse_world_vocabulary(file.text, file.path),
                                          world_file_digest(file.text));
}

std::unique_ptr<Tokenizer> world_tokenizer_from_tokens(const std::vector<std::string>& tokens) {
  WorldVocabulary vocabulary = unescape_world_tokens(tokens);
  std::string digest = world_token_digest(vocabulary);
  return std::make_unique<WorldTokenizer>(std::move(vocabulary), std::move(digest));
}

}  // namespace deciban
