// Records of any number of runs, joined: each model under each policy is one line-up of scores over one
// shared list of documents.  Everything a report or a comparison shows comes from here.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reports/cost.h"
#include "reports/gate_history.h"
#include "reports/record.h"
#include "reports/run_file.h"

namespace deciban {

struct CorpusEntry {
  std::string name;
  std::string digest;  // empty: the run does not say
};

struct DocumentEntry {
  std::uint32_t corpus = 0;  // index into Collection::corpora
  std::string id;
  std::uint64_t bytes = 0, characters = 0;
  std::string published, category, source, licence;  // labels; empty: not known
  std::string month() const { return published.substr(0, 7); }
};

using ScoreKey = std::array<std::uint64_t, 2>;  // a record's key, 128 bits of it
ScoreKey score_key(std::string_view key);

struct DocumentScore {
  std::uint32_t document = 0;  // index into Collection::documents
  double bits = 0;             // −log2 p of the scored tokens
  double seconds = 0;
  std::uint64_t tokens = 0, scored_tokens = 0, bytes = 0, unscored_bytes = 0, lossy_bytes = 0;
  ScoreKey key{};
};

// A model under one task and policy, over all runs that agree in them.
struct LineUp {
  std::string name;   // for people; unique among line-ups of the same task
  std::string label;  // Record::model
  std::string task, windowing, role, start, mode;
  bool compressor = false;            // no model: sizes of files
  bool text = false;                  // its scores are bits of texts, so that bits per byte mean something
  RunModel model;                     // empty where no run file knows it
  std::vector<DocumentScore> scores;  // by document; ok ones only
  std::map<std::string, std::vector<std::pair<std::uint32_t, Measure>>> measures;  // by document
  std::uint64_t failed = 0;
  std::vector<std::string> runs;      // where its records came from
  std::vector<std::string> failures;  // a few of the reasons
};

struct Collection {
  std::vector<CorpusEntry> corpora;
  std::vector<DocumentEntry> documents;
  std::vector<LineUp> lineups;
  std::map<std::string, std::map<std::string, std::string>> tasks;  // as RunFile::tasks
  std::vector<RunFile> run_files;                                   // of each source, in order
  std::vector<CostPoint> costs;                                     // of sweeps over lengths
  std::vector<GateRun> gates;                                       // by time
  std::vector<std::string> sources;                                 // paths as given
  std::vector<std::string> warnings;  // sentences: disagreements, mixed versions, failed documents
};

// Tasks that ask what a text's length does: neither a leaderboard's nor a table's of scores.
bool about_length(std::string_view task);
// Whether both begin their texts alike: with the same token, or, where tokenizers differ, each with its own.
bool same_start(const LineUp& a, const LineUp& b);

// Reads run directories, .jsonl files of records, and the results of deciban's imports (which are both).
// Records with equal key that disagree by more than one part in a million, texts of one name but different
// size or digest, and failed documents become warnings.  Throws std::runtime_error naming file and line.
Collection read_collection(std::span<const std::filesystem::path> paths);

}  // namespace deciban
