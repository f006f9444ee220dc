#include "cli/run_info.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "cli/machine.h"
#include "deciban_version.h"

namespace deciban {
namespace {

using nlohmann::ordered_json;

template <typename T>
ordered_json or_null(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json describe(const ModelInfo& info) {
  return {{"name", info.name},
          {"family", info.family},
          {"spec", info.spec},
          {"digest", info.digest},
          {"tokenizer", info.tokenizer},
          {"tokenizer_digest", info.tokenizer_digest},
          {"mode", info.format},
          {"weight_format", info.weight_format},
          {"activation_format", info.activation_format},
          {"device", info.device},
          {"kernels", info.kernels},
          {"threads", info.threads},
          {"numerics_version", info.numerics_version},
          {"parameters", info.parameters},
          {"layers", info.layers},
          {"width", info.width},
          {"vocabulary", info.vocabulary},
          {"state_bytes", info.state_bytes},
          {"constant_state", info.constant_state},
          {"training_length", or_null(info.training_length)},
          {"context_limit", or_null(info.context_limit)},
          {"start_token", or_null(info.start_token)}};
}

ordered_json describe(const ModelEntry& model) {
  ordered_json entry = {{"label", model.label}};
  entry.update(describe(model.info));
  entry["windows"] = model.windows;
  entry["peak_memory_bytes"] = model.peak_memory;
  if (model.cutoff) entry["training_cutoff"] = {{"date", model.cutoff->date}, {"basis", model.cutoff->basis}};
  return entry;
}

ordered_json describe(const Corpus& corpus) {
  return {{"name", corpus.name},
          {"path", corpus.path},
          {"kind", corpus.kind},
          {"digest", corpus.digest},
          {"documents", corpus.documents.size()},
          {"bytes", corpus.bytes()}};
}

bool agree(const ordered_json& a, const ordered_json& b, std::span<const char* const> keys) {
  return std::all_of(keys.begin(), keys.end(),
                     [&](const char* key) { return a.contains(key) && b.contains(key) && a[key] == b[key]; });
}

constexpr const char* kCorpusKeys[] = {"name", "digest"};
constexpr const char* kRunKeys[] = {"started", "command"};
constexpr const char* kModelKeys[] = {"label", "digest", "tokenizer_digest", "mode", "device"};

bool same_model(const ordered_json& a, const ordered_json& b) { return agree(a, b, kModelKeys); }

// Puts `entry` in the place of the one in `list` that agrees in all of `keys`, or at the end.
void put(ordered_json& list, ordered_json entry, std::span<const char* const> keys) {
  for (ordered_json& old : list) {
    if (!old.is_object() || !agree(old, entry, keys)) continue;
    // What an earlier sitting saw stays true: its windows, and the most memory it took.
    if (entry.contains("windows") && old.contains("windows") && old["windows"].is_object()) {
      for (const auto& [name, role] : old["windows"].items()) {
        if (!entry["windows"].contains(name)) entry["windows"][name] = role;
      }
    }
    if (entry.contains("peak_memory_bytes") &&
        old.value("peak_memory_bytes", std::uint64_t{0}) > entry["peak_memory_bytes"]) {
      entry["peak_memory_bytes"] = old["peak_memory_bytes"];
    }
    old = std::move(entry);
    return;
  }
  list.push_back(std::move(entry));
}

}  // namespace

std::string run_info_json(const RunInfo& run, const std::string& previous) {
  ordered_json old = ordered_json::parse(previous, nullptr, false);
  if (!old.is_object()) old = ordered_json::object();
  const auto list = [&](const char* name) {
    return old.contains(name) && old[name].is_array() ? old[name] : ordered_json::array();
  };
  const Machine machine = this_machine();
  ordered_json result;
  result["deciban"] = {{"version", DECIBAN_VERSION}, {"commit", DECIBAN_COMMIT}};
  result["models"] = list("models");
  for (const ModelEntry& model : run.models) {
    put(result["models"], describe(model), kModelKeys);
  }
  result["corpora"] = list("corpora");
  for (const Corpus* corpus : run.corpora) put(result["corpora"], describe(*corpus), kCorpusKeys);
  result["tasks"] = old.contains("tasks") && old["tasks"].is_object() ? old["tasks"] : ordered_json::object();
  for (const auto& [name, measures] : run.tasks) {
    result["tasks"][name] = {{"version", run.task_versions.at(name)}, {"measures", measures}};
  }
  result["runs"] = list("runs");
  put(result["runs"],
      {{"started", run.started},
       {"ended", run.ended},
       {"status", run.status},
       {"command", run.command},
       {"version", DECIBAN_VERSION},
       {"commit", DECIBAN_COMMIT},
       {"seed", run.seed},
       {"threads", run.threads},
       {"policies", run.policies},
       {"machine",
        {{"cpu", machine.cpu},
         {"cpus", machine.cpus},
         {"isa", machine.isa},
         {"memory_bytes", machine.memory},
         {"system", machine.system}}}},
      kRunKeys);
  return result.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::uint64_t recorded_peak_memory(const std::string& run_json, const ModelEntry& model) {
  const ordered_json run = ordered_json::parse(run_json, nullptr, false);
  if (!run.is_object() || !run.contains("models") || !run["models"].is_array()) return model.peak_memory;
  for (const ordered_json& entry : run["models"]) {
    if (entry.is_object() && same_model(entry, describe(model))) {
      return std::max(model.peak_memory, entry.value("peak_memory_bytes", std::uint64_t{0}));
    }
  }
  return model.peak_memory;
}

}  // namespace deciban
