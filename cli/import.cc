#include "cli/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>

#include "deciban_version.h"
#include "reports/import.h"

namespace deciban {
namespace {

using nlohmann::ordered_json;

// Files, and of directories what lm-eval and others put there.
std::vector<std::filesystem::path> files_of(const std::vector<std::string>& words) {
  std::vector<std::filesystem::path> files;
  for (const std::string& word : words) {
    if (!std::filesystem::is_directory(word)) {
      files.push_back(word);
      continue;
    }
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(word)) {
      const std::string ending = entry.path().extension();
      if (entry.is_regular_file() && (ending == ".json" || ending == ".jsonl")) found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    if (found.empty()) throw std::runtime_error(fmt::format("{} holds neither .json nor .jsonl", word));
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

// run.json with these tasks and kinds added: what an earlier import or evaluation said in it stays.
std::string run_info(const std::filesystem::path& directory, const ordered_json& tasks,
                     const std::set<std::string>& kinds) {
  std::ifstream file(directory / "run.json", std::ios::binary);
  ordered_json run =
      ordered_json::parse(std::string(std::istreambuf_iterator<char>(file), {}), nullptr, false);
  if (!run.is_object()) run = ordered_json::object();
  run["deciban"] = {{"version", DECIBAN_VERSION}, {"commit", DECIBAN_COMMIT}};
  for (const char* list : {"models", "corpora"}) {
    if (!run.contains(list)) run[list] = ordered_json::array();
  }
  if (!run.contains("tasks") || !run["tasks"].is_object()) run["tasks"] = ordered_json::object();
  run["tasks"].update(tasks);
  std::set<std::string> all = kinds;
  if (run.contains("imported") && run["imported"].is_array()) {
    for (const ordered_json& kind : run["imported"]) {
      if (kind.is_string()) all.insert(kind.get<std::string>());
    }
  }
  run["imported"] = all;
  return run.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

int import_results(const ImportOptions& options, const Console& console) {
  if (options.files.empty()) throw std::invalid_argument("name the files to be imported");
  if (options.output.empty()) throw std::invalid_argument("-o DIR is needed: where the records go");
  std::vector<Imported> all;
  std::set<std::pair<std::string, std::string>> sampled;  // model and task that samples tell of
  for (const auto& file : files_of(options.files)) {
    all.push_back(import_file(file, options.label));
    if (all.back().kind != "lm-eval samples") continue;
    for (const Record& record : all.back().records) sampled.emplace(record.model, record.task);
  }
  RunDirectory directory(options.output);
  std::optional<CostFile> costs;
  ordered_json tasks = ordered_json::object();
  std::size_t records = 0, points = 0;
  std::set<std::string> kinds, notes;
  for (const Imported& imported : all) {
    std::size_t taken = 0;
    for (const Record& record : imported.records) {
      // Samples say more than the means of the same task.
      if (imported.kind == "lm-eval results" && sampled.contains({record.model, record.task})) continue;
      ++taken;
      if (directory.find(record.key, record.model, record.corpus, record.document)) continue;
      directory.append(record);
      ++records;
    }
    for (const CostPoint& point : imported.costs) {
      if (!costs) costs.emplace(options.output);
      ++taken;
      if (costs->find(point.key)) continue;
      costs->append(point);
      ++points;
    }
    if (taken == 0) continue;
    kinds.insert(imported.kind);
    notes.insert(imported.notes.begin(), imported.notes.end());
    for (const auto& [task, measures] : imported.tasks)
      tasks[task]["measures"].update(ordered_json(measures));
  }
  directory.write_run_info(run_info(options.output, tasks, kinds));
  for (const std::string& note : notes) console.note(note);
  std::string words;
  for (const std::string& kind : kinds) words += (words.empty() ? "" : ", ") + kind;
  console.note(
      fmt::format("{}: {} records and {} cost points added to {}", words, records, points, options.output));
  return kDone;
}

}  // namespace deciban
