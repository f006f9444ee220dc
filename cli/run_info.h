// run.json: what was run, with what, where and when; what the records alone do not say.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "datasets/corpus.h"
#include "engine/lm.h"
#include "evals/cutoffs.h"

namespace deciban {

// A model's part in a run.
struct ModelEntry {
  std::string label;
  ModelInfo info;
  std::map<std::string, std::string> windows;  // name of the windowing → "", "matched" or "own best"
  std::uint64_t peak_memory = 0;
  std::optional<Cutoff> cutoff;  // of its training texts, if it is known and was asked for
};

struct RunInfo {
  std::vector<std::string> command;
  std::string started, ended, status;           // "running", "done", "interrupted", "failed"
  std::map<std::string, std::string> policies;  // window, start, limit, shard, mode, batch, as asked for
  std::uint64_t seed = 1;
  int threads = 0;
  std::vector<ModelEntry> models;
  std::vector<const Corpus*> corpora;
  std::map<std::string, std::map<std::string, std::string>> tasks;  // name → measure → how it is aggregated
  std::map<std::string, std::string> task_versions;
};

// The text of run.json.  What `previous` (the file's text, or empty) says of other models and corpora is
// kept, and this run is added to its list of runs; one that began at the same time is replaced.
std::string run_info_json(const RunInfo& run, const std::string& previous);

// The most memory that this model took in any sitting, as the text of a run.json says; 0 if it does not say.
std::uint64_t recorded_peak_memory(const std::string& run_json, const ModelEntry& model);

}  // namespace deciban
