// Compression rates that were really compressed: documents coded with the model's probabilities, one stream a
// document, many in lockstep, and decoded again; the size beside what the log-probabilities claimed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "datasets/corpus.h"
#include "engine/lm.h"
#include "evals/run.h"
#include "evals/selection.h"
#include "reports/record.h"
#include "reports/table.h"

namespace deciban {

inline constexpr std::string_view kCodedTask = "coded";
// A coded document may be longer or shorter than claimed by so much.
inline constexpr double kCodedShare = 1e-4, kCodedBytes = 8;

// Codes the first `sample` of the selected documents of each corpus that have a record of the task
// compression, read whole, with this model under these options in `directory`, and appends a record of the
// task "coded" for each: measures coded {bits, bytes}, claimed {bits, bytes}, model {bits of the model's
// weights, bytes}.  A document whose code is not as long as claimed, or that does not decode to itself,
// becomes a failed record.  What has a record is skipped.
RunSummary record_coded(LanguageModel& model, std::span<const Corpus* const> corpora,
                        const RunOptions& options, const Limit& sample, RunDirectory& directory,
                        RunObserver* observer = nullptr);

// A row for each model and corpus: claimed and coded sizes, the rate really reached, and with the model's
// bytes.
Table coded_table(std::span<const Record> records);

}  // namespace deciban
