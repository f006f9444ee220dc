// The record: one JSON object a line, appended and flushed when a document is done.  Resuming, caching and
// merging shards are one mechanism: what has a record is skipped, and record files are joined with `cat`.
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
  std::string key;            // see record_key(); equal key, equal result
  std::string model;          // ModelInfo::name
  std::string task;           // "compression"
  std::string windowing;      // "whole", "tokens:2048:1024", …
  std::string corpus;         // corpus name
  std::string document;       // document id
  std::string status = "ok";  // "ok" | "failed"
  std::string reason;         // why it failed
  std::uint64_t tokens = 0, scored_tokens = 0;
  std::uint64_t bytes = 0, characters = 0;  // of the raw text
  std::uint64_t unscored_bytes = 0;         // bytes of text tokens that no window scored
  std::uint64_t lossy_bytes = 0;  // bytes by which decode(encode(text)) differs in length or content
  double logprob = 0;             // nats, sum over scored tokens, f64 compensated
  double seconds = 0;             // the only fields that differ between two equal runs are timings
  std::map<std::string, std::string> labels;  // published, category, source
  std::vector<QueryResult> queries;
  std::map<std::string, Measure> measures;
};

// Keys in one fixed order; every double reads back to the same bits.  No newline.  Bytes that are not UTF-8
// become U+FFFD.  Throws std::runtime_error naming the field if a number is not finite.
std::string to_json_line(const Record& record);
// Unknown keys are left alone (a later version may add some).  Throws std::runtime_error naming the field.
Record record_from_json(std::string_view line);

// What a result depends on.  Two runs with equal identity and document give equal records.
struct RunIdentity {
  std::string model_digest, tokenizer_digest, weight_format, activation_format, kernels;
  int numerics_version = 0;
  std::string task, task_version, windowing, start_token;
};
// SHA-256 over the identity and the document's digest, lower-case hex (first 32 digits).
std::string record_key(const RunIdentity& identity, std::string_view document_digest);

// The directory of a run.  Layout: run.json (what was run), records.jsonl, .lock; for the shard with suffix
// "I-of-N" run.I-of-N.json, records.I-of-N.jsonl and .lock.I-of-N; scores.*.bin.  One writer at a time:
// either one unsharded run or any number of different shards.  The locks are flock()s, so that the end of a
// process, however it ends, frees them.  Members may be called from several threads.
class RunDirectory {
 public:
  // Creates the directory if needed and locks it.  Throws std::runtime_error: not writable, not a directory,
  // locked by another run (naming its process).  Reads the records that are there; a torn last line of its
  // own file is cut off. `shard_suffix` is empty or like "1-of-4" (letters, digits, '-' and '_'; else
  // std::invalid_argument).
  RunDirectory(const std::filesystem::path& path, std::string shard_suffix = "");
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::filesystem::path& path() const;
  // The last record with status ok and this key, of all record files in the directory and of this run; null
  // if there is none.  Failed records are not found, so that a rerun tries them again.  The pointer lasts as
  // long as this object.
  const Record* find(std::string_view key) const;
  // The same, but for this document of this corpus under this model name only: documents with equal text have
  // equal keys, and a result found by its key alone still needs a record for each of them.
  const Record* find(std::string_view key, std::string_view model, std::string_view corpus,
                     std::string_view document) const;
  std::size_t resumed() const;  // how many ok records were there at the start
  // Appends one line with one write().  It is then the kernel's: killing this process loses no line.  Against
  // loss of power the file is synchronised every few seconds and at the end.  Throws std::runtime_error on a
  // full disk or other write error; the part of the line that was written is cut off again, so what is on
  // disk stays valid.
  void append(const Record& record);
  // Replaces run.json atomically.  Throws std::runtime_error if it cannot be written; the old one then stays.
  void write_run_info(const std::string& json_text);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// All records under the given run directories or .jsonl files, in file order.  Of records that agree in key,
// model, corpus and document the last ok one wins (else the last), in the place of the first.  Torn last
// lines are dropped; any other bad line throws std::runtime_error naming file and line, as does a directory
// without record files.
std::vector<Record> read_records(const std::vector<std::filesystem::path>& paths);

}  // namespace deciban
