// What conformance checks are made of: scores and rows of sequences given to a model directly.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/lm.h"

namespace deciban {

// What came for one sequence.
struct Probed {
  std::vector<TokenScore> scores;
  std::vector<float> rows;  // of logits, one after the other, if asked for
};

struct ProbeSequence {
  std::vector<Token> tokens;
  std::size_t first = 1, shared = 0;
};

// Scores the sequences in one call.  Throws std::runtime_error for a sequence that failed, was delivered
// twice or not at all, with too few or too many scores, or with values that are no log-probabilities.
std::vector<Probed> probe(LanguageModel& model, const std::vector<ProbeSequence>& sequences,
                          bool rows = false);

// The largest difference between two lists of scores, in nats: of the tokens' log-probabilities and of the
// best ones'.
double largest_difference(std::span<const TokenScore> a, std::span<const TokenScore> b);

// log Σ exp of a row of logits.
double log_sum_exp(std::span<const float> logits);

}  // namespace deciban
