#include "reports/record_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <unordered_map>
#include <utility>

namespace deciban {
namespace {

namespace fs = std::filesystem;

bool blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

}  // namespace

std::uint64_t read_record_file(const fs::path& path, const std::function<void(Record)>& take) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(fmt::format("cannot read {}: {}", path.string(), std::strerror(errno)));
  std::uint64_t whole = 0, end = 0;
  std::size_t number = 0;
  std::optional<std::string> torn;  // why the line before is bad: allowed for the last one only
  std::size_t torn_number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    end += line.size() + (file.eof() ? 0 : 1);
    if (blank(line)) {
      if (!torn) whole = end;
      continue;
    }
    if (torn) {
      throw std::runtime_error(fmt::format("{}:{}: {}; delete the line to have its document scored again",
                                           path.string(), torn_number, *torn));
    }
    try {
      take(record_from_json(line));
      whole = end;
    } catch (const std::runtime_error& error) {
      // Valid JSON that is no record was not left by a torn write.
      if (nlohmann::json::accept(line)) {
        throw std::runtime_error(fmt::format("{}:{}: {}", path.string(), number, error.what()));
      }
      torn = error.what();
      torn_number = number;
    }
  }
  if (file.bad())
    throw std::runtime_error(fmt::format("cannot read {}: {}", path.string(), std::strerror(errno)));
  return whole;
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
