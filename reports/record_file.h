// Record files: what of their content is whole, and which of several records of one document counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "reports/record.h"

namespace deciban {

// Calls `take` with every record of the file, in order, and returns the length of the file's whole part: what
// follows is a torn last line (not JSON, as a killed writer or a full disk leaves it).  A last record that
// only lacks its newline is whole.  Throws std::runtime_error naming file, line and reason for any other bad
// line.
std::uint64_t read_record_file(const std::filesystem::path& path, const std::function<void(Record)>& take);

// The record files of a run directory: records.jsonl and those of shards, by name.
std::vector<std::filesystem::path> record_files(const std::filesystem::path& directory);

// What identifies the document that a record is about: equal for a repeated or retried one.
std::string record_place(std::string_view key, std::string_view model, std::string_view corpus,
                         std::string_view document);

}  // namespace deciban
