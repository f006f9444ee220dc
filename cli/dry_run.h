// eval --dry-run: reads and tokenises as a run would, and counts.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "datasets/corpus.h"
#include "engine/lm.h"
#include "evals/run.h"
#include "reports/table.h"

namespace deciban {

// A model that can only tokenise; what --dry-run needs where no weights are at hand.  `spec` as in
// open_tokenizer().
std::unique_ptr<LanguageModel> tokenizer_model(const std::string& spec);

// Appends a row for each corpus (and one for all, with several) to `table`, which gets its columns with the
// first call.  Documents that cannot be tokenised are counted as bad; returns how many.
std::size_t count_documents(const LanguageModel& model, const std::string& label,
                            std::span<const Corpus* const> corpora, const RunOptions& options, Table& table);

}  // namespace deciban
