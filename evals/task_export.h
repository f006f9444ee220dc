// Results in the layout of lm-evaluation-harness: results_DATE.json and samples_TASK_DATE.jsonl, for its
// viewers and its own table maker.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/lm.h"
#include "evals/task_results.h"
#include "evals/template_task.h"
#include "reports/record.h"

namespace deciban {

// One task of a model: its documents in order, and the record of each that was scored.
struct ExportedTask {
  const TemplateTask* task = nullptr;
  const Corpus* corpus = nullptr;
  std::vector<std::pair<std::size_t, const Record*>> scored;  // place in the corpus, and its record
};

struct ExportRun {
  ModelInfo model;
  std::string label;
  std::string limit;  // "all", "20", "10%"
  std::uint64_t seed = 1234;
  std::size_t resamples = 100000;
  std::size_t length = 0;       // tokens that a request may have; 0: no limit
  double started = 0;           // seconds since 1970
  double seconds = 0;           // of the evaluation
  std::string version, commit;  // of the program
};

// One line of a samples file, without its line break.
std::string sample_line(const TemplateTask& task, const Corpus& corpus, std::size_t document,
                        const Record& record);
// SHA-256 over the hashes in the lines, as the harness names a task's samples.
std::string samples_hash(const std::vector<std::string>& lines);
// The text of a results file.  `hashes`: of each task's samples.
std::string results_json(const ExportRun& run, std::span<const ExportedTask> tasks,
                         std::span<const TaskResult> results,
                         const std::map<std::string, std::string>& hashes);

// A model's name as a folder: what file systems do not like becomes "__".
std::string sanitised_name(const std::string& name);
// Writes a results file and the samples beside it.  A target that ends in .json is the results file
// (results_X.json has samples_TASK_X.jsonl, any other name samples_TASK.jsonl); else it is a folder, and the
// files go to FOLDER/MODEL/results_DATE.json.  Returns the results file.  Throws std::runtime_error naming a
// file that cannot be written.
std::filesystem::path export_results(const std::filesystem::path& target, const ExportRun& run,
                                     std::span<const ExportedTask> tasks,
                                     std::span<const TaskResult> results);

}  // namespace deciban
