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
  // Unique within its corpus and valid UTF-8: the file's own id, else the running number, else the path
  // within the folder.  The second document with one id becomes "id#2".
  std::string id;
  std::string text;                  // raw bytes, as stored; empty if only tokens were given
  std::string published;             // ISO date if the corpus says, else empty
  std::vector<std::int32_t> tokens;  // pre-tokenised documents: the ids; else empty
  nlohmann::json fields;             // the other fields of a JSONL row (object), for tasks and labels
  // SHA-256, lower-case hex: of the text; of the ids as little-endian int32 if there are only tokens; of the
  // two digests' hex joined if there are both; of the raw row or file if there is an error.
  std::string digest;
  std::string error;  // non-empty: this document could not be read, and why (it becomes a failed record)
};

struct Corpus {
  std::string name;    // file stem or folder name
  std::string path;    // as given
  std::string kind;    // "json-list", "jsonl", "folder", "text"
  std::string digest;  // SHA-256 of the file; of a folder: of its files' "digest  path" lines, by path (as
                       // sha256sum prints them)
  std::vector<Document> documents;
  std::uint64_t bytes() const;
};

// Reads a corpus: uncheatable_eval's JSON list of strings (or of row objects), JSON Lines, a folder of text
// files, or one text file (one document).  The kind is decided by content; an ending .json, .jsonl or .ndjson
// only promises that it is JSON, so that damage is an error and not a text.
//
// Rows have `text`, else `content`, or `tokens` (an array of ids; beside a text it may be absent or something
// else); a row without these but with `abstract` and `conclusion` has both as its text.  Also `id` (string or
// integer) and a date in `published`, `date` or `created`; the rest is in `fields`.
//
// Folders are read recursively in byte order of the paths.  Hidden files and folders are left out, links to
// folders are not followed.
//
// A document that cannot be used is kept with `error` set: a bad row, an empty text, a file of a folder that
// is unreadable or binary (a NUL byte in its first 8 KB).
//
// Text that is not valid UTF-8 is kept as it is (byte and World tokenizers take it), except in JSON, which
// must be UTF-8.  A byte-order mark is skipped in JSON only.
//
// Throws std::runtime_error naming the file, the place and the reason: unreadable, damaged or binary file, no
// documents, or none that can be used.
Corpus read_corpus(const std::filesystem::path& path);

}  // namespace deciban
