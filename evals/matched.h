// The same byte context for models with and without a limit to their context, so that their rates may be
// compared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "datasets/corpus.h"
#include "engine/lm.h"
#include "evals/selection.h"
#include "evals/start_token.h"
#include "evals/window.h"

namespace deciban {

// Sizes that the matched window may have are multiples of this many bytes.
inline constexpr std::size_t kMatchedGranularity = 64;

// What a model does best without going beyond its limit: the whole document, or windows of its limit, each
// reading half of the one before again.
Windowing own_best(const ModelInfo& model);

// Finds the largest bytes:N window (N a multiple of kMatchedGranularity, by bisection) whose every piece of
// every document fits every limited model, start token included, counted with their own tokenizers.  Models
// are given one at a time, so that they need not be in memory together.  Smaller pieces are cut elsewhere and
// may hold more tokens, so with several limited models the round is repeated until fit() is true for all of
// them.
class MatchedWindow {
 public:
  MatchedWindow(std::span<const Corpus* const> corpora, const Limit& limit, const StartPolicy& start);
  // Makes the window fit this model; true if it did before.  Models without a limit change nothing.  Throws
  // std::invalid_argument if not even the smallest window fits.
  bool fit(const LanguageModel& model);
  // `whole` if every document fits every model as it is; else bytes:N.
  Windowing windowing() const;

 private:
  bool fits(const LanguageModel& model, std::size_t limit, const Windowing& policy) const;

  std::vector<const Document*> documents_;
  const StartPolicy start_;
  std::size_t units_ = 0;  // N / kMatchedGranularity that fits so far
  bool whole_ = true;
};

}  // namespace deciban
