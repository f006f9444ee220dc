// Records of the task abstract-conclusion → the table people read.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "evals/compression_table.h"
#include "reports/record.h"
#include "reports/table.h"

namespace deciban {

// A row for each model under one window and corpus: bits per byte of the conclusion given its own abstract,
// another's, nothing; the difference other − own with its 95 % interval over documents.  A last row a model
// pools several corpora.
Table abstract_conclusion_table(std::span<const Record> records, std::span<const TableModel> models,
                                std::span<const std::string> corpora, std::uint64_t seed);

}  // namespace deciban
