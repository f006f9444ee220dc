// A text coloured by what it cost: pieces between the tokens of one or two models, and their bits.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "reports/markup.h"
#include "reports/token_file.h"

namespace deciban {

struct SurprisePiece {
  std::size_t begin = 0, end = 0;  // bytes of the text
  double first = 0, second = 0;    // bits; NaN where a token in it was not scored
};

// Pieces of the text's first bytes, up to `most`: cut where tokens of both (of the one) end, never within a
// UTF-8 character, and, where tokens are mostly single bytes, only before words.  Empty if the tokens do not
// add up to the text.
std::vector<SurprisePiece> surprise_pieces(std::string_view text, const TokenScores& first,
                                           const TokenScores* second, std::size_t most);

// The text's beginning, coloured by the first model's bits, and, with two, by their difference.
void draw_surprise(Node parent, std::string_view text, const TokenScores& first, const TokenScores* second,
                   const std::string& first_name, const std::string& second_name);

}  // namespace deciban
