// Runs tasks over corpora with a model: documents to sequences, scores to records.
//
// Everything that concerns all tasks alike lives here: windows, keys and resuming, shards, the check that a
// tokenizer gives the text back, exact sums, failures, interruption.  A document is one record; what has a
// record is skipped.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/corpus.h"
#include "engine/lm.h"
#include "evals/selection.h"
#include "evals/start_token.h"
#include "evals/task.h"
#include "evals/token_scores.h"
#include "evals/window.h"
#include "reports/record.h"

namespace deciban {

struct RunOptions {
  Windowing windowing;
  StartPolicy start;
  Limit limit;
  Shard shard;
  std::uint64_t seed = 1;
  bool share = true;                         // tell models which sequences begin alike
  std::string label;                         // the model's name in records; empty: ModelInfo::name
  TokenScoreWriter* token_scores = nullptr;  // also keep per-token columns there
  const std::atomic<bool>* stop = nullptr;   // once true, no further sequence is begun
};

// How far a run is.  `bytes` are raw bytes of documents, `tokens` scored tokens.
struct RunProgress {
  std::size_t documents = 0, done = 0, failed = 0,
              resumed = 0;                  // done counts the failed ones, not the resumed
  std::uint64_t bytes = 0, bytes_done = 0;  // of the documents that are not resumed
  std::uint64_t tokens_done = 0;
  double seconds = 0;  // since the first sequence was asked for
};

// Called from one thread at a time, not always the same; must not throw.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void progress(const RunProgress& /*now*/) {}
  virtual void recorded(const Record& /*record*/) {}
};

struct RunSummary {
  RunProgress progress;
  std::size_t repeated = 0;         // documents with the text of an earlier one: they get its result
  std::size_t excluded = 0;         // documents that are none for their task
  bool interrupted = false;         // stopped with documents left
  std::size_t lossy_documents = 0;  // whose text the tokenizer normalises; of those scored now
  std::uint64_t lossy_bytes = 0;
  std::string first_failure;      // "corpus/document: reason" of the first failed document
  std::vector<std::string> keys;  // of all selected documents, scored now or before, in their order
};

// What the records of a model under these options depend on.
RunIdentity run_identity(const ModelInfo& model, const Task& task, const RunOptions& options);

// A task and the corpora that it is run over.
struct Assignment {
  Task* task = nullptr;
  std::vector<const Corpus*> corpora;
};

// Scores all selected documents of the assignments, task by task, skipping those with a record in
// `directory`.  Limit and shard count each corpus once, whatever the tasks.
// The order in which a model delivers has no influence on the records.  A document that cannot be scored
// becomes a failed record.  Throws what the model's score() throws and std::runtime_error from writing;
// records made so far are kept.
RunSummary run(LanguageModel& model, std::span<const Assignment> assignments, const RunOptions& options,
               RunDirectory& directory, RunObserver* observer = nullptr);

// The same of every task over all corpora.
RunSummary run(LanguageModel& model, std::span<Task* const> tasks, std::span<const Corpus* const> corpora,
               const RunOptions& options, RunDirectory& directory, RunObserver* observer = nullptr);

}  // namespace deciban
