// A quick reader of record lines as to_json_line() writes them.
#pragma once

#include <optional>
#include <string_view>

#include "reports/record.h"

namespace deciban {

// The record, if the line has the fields in the writer's order, without blanks between them and with plain
// ASCII strings; none for any other line, valid or not: record_from_json() reads these at its leisure.  What
// is returned is what record_from_json() would make of it without this one.
std::optional<Record> plain_record(std::string_view line);

}  // namespace deciban
