// What length buys, beside what it costs: records of the tasks "context:N" and of synthetic recall, and the
// cost points of the same models.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "reports/cost.h"
#include "reports/record.h"
#include "reports/statistics.h"
#include "reports/table.h"

namespace deciban {

inline constexpr std::string_view kContextTask = "context:";  // followed by the context's bytes

// A model given so many bytes of context.
struct ContextRow {
  std::string model;
  std::size_t context = 0;  // bytes
  Estimate bits_per_byte;   // of the same target bytes in every row
  Estimate gain;      // bits/byte fewer than with no context, paired by document; NaN if there is no such row
  double tokens = 0;  // read, a document, about
  std::string failure;              // why no document could be scored, or empty
  const CostPoint* cost = nullptr;  // the model's point whose length is the nearest to `tokens`, within 10 %
};
// Models in the order of the records, contexts ascending.  `costs` must outlive the rows.
std::vector<ContextRow> context_rows(std::span<const Record> records, std::span<const CostPoint> costs,
                                     std::uint64_t seed = 1);
Table context_table(std::span<const ContextRow> rows);

// Recall by length and number of pairs: bits a byte of the right answers and how often it was the likeliest.
Table recall_table(std::span<const Record> records, std::uint64_t seed = 1);

}  // namespace deciban
