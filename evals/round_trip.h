// Whether a tokenizer gives a text back, and if not, by how much the two differ.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "engine/lm.h"

namespace deciban {

// Bytes in which `copy` differs from `text`: of every stretch where the two disagree the longer side counts.
// 0 only for equal texts.  The stretches are found by the nearest place where both agree again, so long
// changes may be counted a little too high; never less than the difference in length.
std::size_t differing_bytes(std::string_view text, std::string_view copy);

// Offset of the first byte in which the two differ; the shorter one's size if one is the other's beginning.
std::size_t first_difference(std::string_view text, std::string_view copy);

// Tokens of a text, which must stand for it: normalised, where the model's tokenizer does that; adds to
// `lossy_bytes` by how much.  `offset`: where the text begins, for messages.  Throws std::runtime_error.
std::vector<Token> encode_checked(const LanguageModel& model, std::string_view text, std::size_t offset,
                                  std::size_t& lossy_bytes);

}  // namespace deciban
