// Records of the compression task → the table people read.  Everything but a model's own properties comes
// from the records, so that a run finished in several sittings gives the same table as one finished at once.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reports/record.h"
#include "reports/statistics.h"
#include "reports/table.h"

namespace deciban {

// One row a corpus: a model under one window, or a compressor.  Zeros and empty strings: not applicable.
struct TableModel {
  std::string label;      // Record::model
  std::string windowing;  // Record::windowing
  std::string role = "";  // "matched", "own best" where a run has both; else empty
  std::string format = "", device = "";
  std::uint64_t parameters = 0;
  std::uint64_t peak_memory = 0;  // bytes
  std::uint64_t state_bytes = 0;  // of one sequence; of each of its tokens if `state_grows`
  bool state_grows = false;
};

struct CompressionFigures {
  std::size_t documents = 0, failed = 0;
  std::uint64_t bytes = 0, characters = 0, tokens = 0, scored_tokens = 0, unscored_bytes = 0, lossy_bytes = 0;
  Estimate bits_per_byte;
  std::optional<Estimate> charged;  // with 8 bits for each unscored byte; absent where all bytes are scored
  double bits_per_character = 0, nats_per_token = 0;   // NaN where there is nothing to divide by
  double bytes_per_second = 0, tokens_per_second = 0;  // NaN likewise
};

// How several corpora become one figure.
enum class Pooling { pooled, macro };

// The figures of some records, by corpus; with several corpora their intervals resample within each.
CompressionFigures compression_figures(std::span<const std::vector<const Record*>> corpora, Pooling pooling,
                                       std::uint64_t seed);

// A block of rows for each corpus, then, with several, one for all bytes pooled and one for the mean of the
// corpora. `records` may hold others too: only those of the models, windows and corpora named count.  Columns
// that say the same in every row (corpus, window) are left out of what people see.
Table compression_table(std::span<const Record> records, std::span<const TableModel> models,
                        std::span<const std::string> corpora, std::uint64_t seed,
                        std::string_view task = "compression");

}  // namespace deciban
