#include "reports/record_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "reports/line_file.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

}  // namespace

std::uint64_t read_record_file(const fs::path& path, const std::function<void(Record)>& take) {
  return read_json_lines(
      path, [&take](const std::string& line) { take(record_from_json(line)); },
      "delete the line to have its document scored again");
}

std::vector<fs::path> record_files(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("records.") && name.ends_with(".jsonl")) files.push_back(entry->path());
  }
  if (error) throw std::runtime_error(fmt::format("cannot list {}: {}", directory.string(), error.message()));
  std::sort(files.begin(), files.end());
  return files;
}

std::string record_place(std::string_view key, std::string_view model, std::string_view corpus,
                         std::string_view document) {
  return fmt::format("{}\n{}:{}{}:{}{}", key, model.size(), model, corpus.size(), corpus, document);
}

std::vector<Record> read_records(const std::vector<fs::path>& paths) {
  std::vector<Record> records;
  std::unordered_map<std::string, std::size_t> places;
  const auto take = [&](Record record) {
    const auto [found, is_new] = places.try_emplace(
        record_place(record.key, record.model, record.corpus, record.document), records.size());
    if (is_new) {
      records.push_back(std::move(record));
    } else if (Record& old = records[found->second]; record.status == "ok" || old.status != "ok") {
      old = std::move(record);
    }
  };
  for (const fs::path& path : paths) {
    if (!fs::is_directory(path)) {
      read_record_file(path, take);
      continue;
    }
    const std::vector<fs::path> files = record_files(path);
    if (files.empty()) {
      throw std::runtime_error(fmt::format("{} is no run: it has no records*.jsonl", path.string()));
    }
    for (const fs::path& file : files) read_record_file(file, take);
  }
  return records;
}

}  // namespace deciban
