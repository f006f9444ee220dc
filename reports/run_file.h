// run.json: what was run, where, and with which models and texts, as far as a report tells of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deciban {

// Zeros and empty strings: not known.
struct RunModel {
  std::string label, family, digest, tokenizer, tokenizer_digest;
  std::string mode, weight_format, activation_format, device, kernels;
  std::uint64_t parameters = 0, layers = 0, width = 0, vocabulary = 0;
  std::uint64_t state_bytes = 0, peak_memory = 0;
  bool constant_state = true;
  std::string training_cutoff, cutoff_basis;
  std::map<std::string, std::string> windows;  // windowing → its role ("matched", "own best", "")
};

struct RunCorpus {
  std::string name, path, kind, digest;
  std::uint64_t documents = 0, bytes = 0;
};

struct RunSitting {
  std::string started, ended, status, command, version, commit;
  std::string cpu, isa, system;
  std::uint64_t cpus = 0, memory = 0;
  std::vector<std::pair<std::string, std::string>> policies;
};

// A shard of a run, of which run.INDEX-of-COUNT.json tells; counted from 1 as in that name.
struct RunPart {
  std::size_t index = 1, count = 1;
  std::string status;   // of its last sitting: running, done, interrupted, failed
  std::string corpora;  // digests of its texts: parts of one whole have the same
};

struct RunFile {
  std::vector<RunModel> models;
  std::vector<RunCorpus> corpora;
  std::map<std::string, std::map<std::string, std::string>> tasks;  // task → measure → its aggregation
  std::vector<RunSitting> sittings;
  std::vector<RunPart> parts;  // empty for a run in one piece
};

// Unknown fields are left alone, absent ones stay empty.  Throws std::runtime_error if it is no JSON object.
RunFile parse_run_file(std::string_view text);
// run.json and run.*.json of a run's directory, joined; empty if there is none.  Throws std::runtime_error
// naming the file.
RunFile read_run_files(const std::filesystem::path& directory);
// A sentence for every run whose shards are not all among `runs`, or not all done.  Shards may lie in several
// directories: those of equal texts and number belong together.
std::vector<std::string> missing_parts(std::span<const RunFile> runs);

}  // namespace deciban
