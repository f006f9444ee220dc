// Finding a tokenizer.json's added tokens in text, where they become ids before anything else is done.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "engine/byte_trie.h"
#include "engine/tokenizer_json.h"

namespace deciban {

// Immutable after construction; any thread may use it.
class DECIBAN_API AddedTokens {
 public:
  struct Segment {
    std::size_t begin, end;  // of the text
    Token id;                // -1: text between added tokens
  };

  AddedTokens() = default;
  // `texts[i]` is what to look for, for tokens[i]; empty ones are left out.
  AddedTokens(std::vector<AddedToken> tokens, const std::vector<std::string>& texts);

  // Splits valid UTF-8 at the leftmost-longest matches, in order.  Segments are not empty; lstrip and rstrip
  // widen a match over the white space beside it.
  std::vector<Segment> split(std::string_view text) const;

 private:
  std::vector<AddedToken> tokens_;
  ByteTrie trie_;                   // values are places in tokens_
  std::array<bool, 256> begins_{};  // whether some text begins with the byte
};

}  // namespace deciban
