// General compressors as floors: what xz, zstd, brotli and bzip2 make of the same documents, as records like
// those of models.
#pragma once

#include <atomic>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/corpus.h"
#include "evals/run.h"
#include "evals/selection.h"
#include "reports/record.h"

namespace deciban {

// The windowing that the record of a whole corpus in one archive has.
inline constexpr std::string_view kSolidArchive = "solid";

// A compressor's rows: Record::model and Record::windowing.
struct CompressorRow {
  std::string label, windowing;
};
std::vector<CompressorRow> compressor_rows();
bool is_compressor(std::string_view label);

// Appends a record for each selected document, and one for all selected documents of a corpus in one archive
// (document
// "(all N documents)"; only when not sharded, since a shard has not all of them).  What has a record is
// skipped. logprob is the compressed size in nats; container headers count, since nothing can be unpacked
// without them.
RunSummary record_compressors(std::span<const Corpus* const> corpora, const Limit& limit, const Shard& shard,
                              RunDirectory& directory, const std::atomic<bool>* stop,
                              RunObserver* observer = nullptr);

}  // namespace deciban
