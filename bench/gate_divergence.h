// KL(reference ‖ other) of two models on the same tokens, row against row as both are computed: neither's
// logits are kept, in memory or on disk.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/lm.h"

namespace deciban {

struct Divergence {
  std::vector<float> kl;       // nats, of each scored token
  std::size_t agreements = 0;  // tokens at which both name the same one best
  double largest_regret = 0;  // nats by which the other's best is less probable to the reference than its own
  double reference_nats = 0, other_nats = 0;  // -log p of the text's own tokens
};

// KL(p ‖ q) of two rows of logits in nats, in float64; NaN if a row is no distribution.
double divergence_of(std::span<const float> reference, std::span<const float> other);

// Scores one sequence with both models at the same time, each in a thread of its own.  Throws
// std::invalid_argument if their vocabularies differ in size, std::runtime_error with the reason if one
// fails.
Divergence compare_rows(LanguageModel& reference, LanguageModel& other, const Sequence& sequence);

}  // namespace deciban
