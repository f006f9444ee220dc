// The record: one JSON object a line, appended and flushed when a document is done.  Resuming, caching and merging
// shards are one mechanism: what has a record is skipped, and record files are joined with `cat`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace deciban {

// A measure is kept as sum and weight, so that any aggregation (mean, ratio, per corpus) can be made later.
struct Measure {
  double sum = 0, weight = 0;
  friend bool operator==(const Measure&, const Measure&) = default;
};

struct QueryResult {
  double logprob = 0;  // nats, over the scored tokens
  bool greedy = false;
  std::uint64_t tokens = 0, bytes = 0;  // of the continuation
  friend bool operator==(const QueryResult&, const QueryResult&) = default;
};

struct Record {
  std::string key;       // see record_key(); equal key, equal result
  std::string model;     // ModelInfo::name
  std::string task;      // "compression"
  std::string windowing;  // "whole", "tokens:2048:1024", …
  std::string corpus;    // corpus name
  std::string document;  // document id
  std::string status = "ok";  // "ok" | "failed"
  std::string reason;         // why it failed
  std::uint64_t tokens = 0, scored_tokens = 0;
  std::uint64_t bytes = 0, characters = 0;  // of the raw text
  std::uint64_t unscored_bytes = 0;         // bytes of text tokens that no window scored
  std::uint64_t lossy_bytes = 0;            // bytes by which decode(encode(text)) differs in length or content
  double logprob = 0;                       // nats, sum over scored tokens, f64 compensated
  double seconds = 0;                       // the only fields that differ between two equal runs are timings
  std::map<std::string, std::string> labels;  // published, category, source
  std::vector<QueryResult> queries;
  std::map<std::string, Measure> measures;
};

std::string to_json_line(const Record& record);           // no newline
Record record_from_json(std::string_view line);           // throws std::runtime_error naming the field

// What a result depends on.  Two runs with equal identity and document give equal records.
struct RunIdentity {
  std::string model_digest, tokenizer_digest, weight_format, activation_format, kernels;
  int numerics_version = 0;
  std::string task, task_version, windowing, start_token;
};
// SHA-256 over the identity and the document's digest, lower-case hex (first 32 digits).
std::string record_key(const RunIdentity& identity, std::string_view document_digest);

// The directory of a run.  Layout: run.json (what was run), records.jsonl (or records.I-of-N.jsonl for shards),
// scores.*.bin, .lock.  One writer at a time.
class RunDirectory {
 public:
  // Creates the directory if needed and locks it.  Throws: not writable, not a directory, locked by another run
  // (naming its process).  Reads the records that are there; a torn last line is cut off.
  RunDirectory(const std::filesystem::path& path, std::string shard_suffix = "");
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::filesystem::path& path() const;
  // Records of all record files in the directory with status ok, by key.
  const Record* find(std::string_view key) const;
  std::size_t resumed() const;  // how many records were there at the start
  // Appends and flushes.  Throws std::runtime_error on a full disk or other write error; what is on disk stays valid.
  void append(const Record& record);
  // Replaces run.json atomically.
  void write_run_info(const std::string& json_text);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// All records under the given run directories or .jsonl files, in file order; of records with one key the last ok one
// wins (else the last).  Torn last lines are dropped; any other bad line throws naming file and line.
std::vector<Record> read_records(const std::vector<std::filesystem::path>& paths);

}  // namespace deciban
