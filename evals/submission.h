// When texts came into the world, and what models may have read of them: records parted by a training
// cut-off or by month.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reports/record.h"

namespace deciban {

// A day or month up to which a model may have read everything: "2025-03", "2025-03-15".  Throws
// std::invalid_argument for anything else.
std::string parse_cutoff(std::string_view word);
// The later of the two; empty: none known.
std::string later_cutoff(const std::string& a, const std::string& b);

// Whether a text published then ("2025-04", "2025-04-01", a time may follow) is newer than the cut-off for
// certain.
bool is_after(std::string_view published, const std::string& cutoff);

struct RecordPart {
  std::string name;  // "after 2025-03", "until 2025-03", "undated"; "2025-03"
  std::vector<Record> records;
};

// The parts that are not empty, the newest texts first.  Records of models and of documents are told apart by
// their label `published` alone.
std::vector<RecordPart> part_by_cutoff(std::span<const Record> records, const std::string& cutoff);
std::vector<RecordPart> part_by_month(std::span<const Record> records);

}  // namespace deciban
