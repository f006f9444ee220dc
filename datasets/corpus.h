// Corpora: lists of documents, known by the SHA-256 of their files.  Reading one never touches the network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace deciban {

struct Document {
  std::string id;         // unique within its corpus: the file's own id, else the running number, else the file name
  std::string text;       // raw bytes, as stored; empty if only tokens were given
  std::string published;  // ISO date if the corpus says, else empty
  std::vector<std::int32_t> tokens;  // pre-tokenised documents: the ids; else empty
  nlohmann::json fields;  // the other fields of a JSONL row (object), for tasks and labels
  std::string digest;     // SHA-256 of the text (of the little-endian ids for tokens), lower-case hex
  std::string error;      // non-empty: this document could not be read, and why (it becomes a failed record)
};

struct Corpus {
  std::string name;    // file stem or folder name
  std::string path;    // as given
  std::string kind;    // "json-list", "jsonl", "folder", "text"
  std::string digest;  // SHA-256 of the file; of a folder: of its sorted "digest  name" lines
  std::vector<Document> documents;
  std::uint64_t bytes() const;
};

// Reads a corpus: uncheatable_eval's JSON list of strings, JSONL (rows with `text`, `content` or `tokens`; also `id`,
// `date`/`published`, anything else kept in `fields`), a folder of text files (recursive, sorted by path), or one
// text file (one document).  The kind is decided by content, not by ending alone.  A bad row of a JSONL file is a
// Document with `error` set; a file that is none of these throws std::runtime_error naming file, line and reason.
// Text that is not valid UTF-8 is kept as it is (byte and World tokenizers take it).
Corpus read_corpus(const std::filesystem::path& path);

}  // namespace deciban
