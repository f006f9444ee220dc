#include "reports/run_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

namespace deciban {
namespace {

using nlohmann::json;

// A command is kept as a list of words.
std::string text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "";
  if (value.is_array()) {
    std::string words;
    for (const json& word : value) words += (words.empty() ? "" : " ") + text(word);
    return words;
  }
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? "" : text(*found);
}

std::uint64_t count(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return 0;
  if (found->is_number_unsigned()) return found->get<std::uint64_t>();
  const double value = found->get<double>();
  return value >= 0 && value < 1.8e19 ? static_cast<std::uint64_t>(value) : 0;
}

template <typename Take>
void each(const json& object, const char* key, Take take) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return;
  for (const json& entry : *found) {
    if (entry.is_object()) take(entry);
  }
}

std::map<std::string, std::string> words(const json& object, const char* key) {
  std::map<std::string, std::string> result;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_object()) return result;
  for (const auto& [name, value] : found->items()) result[name] = text(value);
  return result;
}

RunModel model_of(const json& entry) {
  RunModel model;
  model.label = text_of(entry, "label");
  model.family = text_of(entry, "family");
  model.digest = text_of(entry, "digest");
  model.tokenizer = text_of(entry, "tokenizer");
  model.tokenizer_digest = text_of(entry, "tokenizer_digest");
  model.mode = text_of(entry, "mode");
  model.weight_format = text_of(entry, "weight_format");
  model.activation_format = text_of(entry, "activation_format");
  model.device = text_of(entry, "device");
  model.kernels = text_of(entry, "kernels");
  model.parameters = count(entry, "parameters");
  model.layers = count(entry, "layers");
  model.width = count(entry, "width");
  model.vocabulary = count(entry, "vocabulary");
  model.state_bytes = count(entry, "state_bytes");
  model.peak_memory = count(entry, "peak_memory_bytes");
  const auto constant = entry.find("constant_state");
  if (constant != entry.end() && constant->is_boolean()) model.constant_state = constant->get<bool>();
  const auto cutoff = entry.find("training_cutoff");
  if (cutoff != entry.end() && cutoff->is_object()) {
    model.training_cutoff = text_of(*cutoff, "date");
    model.cutoff_basis = text_of(*cutoff, "basis");
  }
  model.windows = words(entry, "windows");
  return model;
}

RunSitting sitting_of(const json& entry) {
  RunSitting sitting;
  sitting.started = text_of(entry, "started");
  sitting.ended = text_of(entry, "ended");
  sitting.status = text_of(entry, "status");
  sitting.command = text_of(entry, "command");
  sitting.version = text_of(entry, "version");
  sitting.commit = text_of(entry, "commit");
  for (const auto& [name, value] : words(entry, "policies")) sitting.policies.emplace_back(name, value);
  const auto machine = entry.find("machine");
  if (machine != entry.end() && machine->is_object()) {
    sitting.cpu = text_of(*machine, "cpu");
    sitting.isa = text_of(*machine, "isa");
    sitting.system = text_of(*machine, "system");
    sitting.cpus = count(*machine, "cpus");
    sitting.memory = count(*machine, "memory_bytes");
  }
  return sitting;
}

template <typename T>
void append(std::vector<T>& to, std::vector<T>&& from) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

// Of "run.2-of-8.json".
std::optional<RunPart> part_of(std::string_view name) {
  RunPart part;
  int end = 0;
  if (std::sscanf(std::string(name).c_str(), "run.%zu-of-%zu.json%n", &part.index, &part.count, &end) != 2 ||
      end != static_cast<int>(name.size()) || part.index == 0 || part.index > part.count)
    return std::nullopt;
  return part;
}

// "2", "2 and 5", "2, 5 and 7"; of many the first few.
std::string numbers_in_words(const std::vector<std::size_t>& numbers) {
  constexpr std::size_t kShown = 8;
  std::string words;
  const std::size_t shown = std::min(numbers.size(), kShown);
  for (std::size_t i = 0; i < shown; ++i) {
    const bool last = i + 1 == numbers.size();
    words += fmt::format("{}{}", i == 0 ? "" : last ? " and " : ", ", numbers[i]);
  }
  if (shown < numbers.size()) words += fmt::format(" and {} more", numbers.size() - shown);
  return words;
}

}  // namespace

RunFile parse_run_file(std::string_view content) {
  const json object = json::parse(content, nullptr, false);
  if (!object.is_object()) throw std::runtime_error("not a JSON object");
  RunFile run;
  each(object, "models", [&](const json& entry) { run.models.push_back(model_of(entry)); });
  each(object, "corpora", [&](const json& entry) {
    run.corpora.push_back({text_of(entry, "name"), text_of(entry, "path"), text_of(entry, "kind"),
                           text_of(entry, "digest"), count(entry, "documents"), count(entry, "bytes")});
  });
  each(object, "runs", [&](const json& entry) { run.sittings.push_back(sitting_of(entry)); });
  const auto tasks = object.find("tasks");
  if (tasks != object.end() && tasks->is_object()) {
    for (const auto& [name, task] : tasks->items()) {
      if (task.is_object()) run.tasks[name] = words(task, "measures");
    }
  }
  return run;
}

RunFile read_run_files(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (name == "run.json" || (name.starts_with("run.") && name.ends_with(".json")))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  RunFile all;
  for (const std::filesystem::path& file : files) {
    std::ifstream stream(file, std::ios::binary);
    const std::string content(std::istreambuf_iterator<char>(stream), {});
    try {
      RunFile run = parse_run_file(content);
      if (std::optional<RunPart> part = part_of(file.filename().string())) {
        part->status = run.sittings.empty() ? "" : run.sittings.back().status;
        std::set<std::string> digests;
        for (const RunCorpus& corpus : run.corpora) digests.insert(corpus.digest);
        for (const std::string& digest : digests) part->corpora += digest + " ";
        all.parts.push_back(std::move(*part));
      }
      append(all.models, std::move(run.models));
      append(all.corpora, std::move(run.corpora));
      append(all.sittings, std::move(run.sittings));
      all.tasks.merge(run.tasks);
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(fmt::format("{}: {}", file.string(), error.what()));
    }
  }
  return all;
}

std::vector<std::string> missing_parts(std::span<const RunFile> runs) {
  // Whole → part → whether any of its sittings came to the end.
  std::map<std::pair<std::string, std::size_t>, std::map<std::size_t, bool>> wholes;
  for (const RunFile& run : runs) {
    for (const RunPart& part : run.parts)
      wholes[{part.corpora, part.count}][part.index] |= part.status == "done";
  }
  std::vector<std::string> sentences;
  for (const auto& [whole, parts] : wholes) {
    const std::size_t count = whole.second;
    std::vector<std::size_t> missing, unfinished;
    for (std::size_t index = 1; index <= count; ++index) {
      const auto found = parts.find(index);
      if (found == parts.end()) {
        missing.push_back(index);
      } else if (!found->second) {
        unfinished.push_back(index);
      }
    }
    if (missing.empty() && unfinished.empty()) continue;
    std::string what;
    if (!missing.empty())
      what = fmt::format("{} {} {} not there", missing.size() == 1 ? "shard" : "shards",
                         numbers_in_words(missing), missing.size() == 1 ? "is" : "are");
    if (!unfinished.empty())
      what += fmt::format("{}{} {} {} not done", what.empty() ? "" : ", ",
                          unfinished.size() == 1 ? "shard" : "shards", numbers_in_words(unfinished),
                          unfinished.size() == 1 ? "is" : "are");
    sentences.push_back(
        fmt::format("of {} shards, {}: their documents are missing here; run these again with the "
                    "same -o, then make the report again",
                    count, what));
  }
  return sentences;
}

}  // namespace deciban
