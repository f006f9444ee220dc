// Per-token columns of scored documents in a compact binary file (docs/formats.md has the layout).
//
// The file is a row of blocks, one a document, each with its own length and checksum: appending is safe,
// `cat` joins files, and a block torn by a kill or a full disk is recognised and cut off.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "engine/lm.h"

namespace deciban {

// The tokens of one query's continuation, as columns of equal length.
struct TokenColumns {
  std::vector<Token> tokens;
  std::vector<std::uint32_t> bytes;  // of the text, that each token stands for
  std::vector<float> logprob;        // nats; NaN where no window scored the token
  std::vector<float> best_logprob;   // NaN likewise
  std::vector<Token> best;           // -1 likewise
};

struct DocumentTokens {
  std::string key;  // the record's
  std::vector<TokenColumns> queries;
};

// Appends blocks.  One writer at a time (the run directory's lock sees to that).
class TokenScoreWriter {
 public:
  // Opens or creates; cuts off a torn last block.  Throws std::runtime_error: cannot be written, or damaged
  // elsewhere.
  explicit TokenScoreWriter(const std::filesystem::path& path);
  ~TokenScoreWriter();
  TokenScoreWriter(const TokenScoreWriter&) = delete;
  TokenScoreWriter& operator=(const TokenScoreWriter&) = delete;

  bool has(const std::string& key) const { return keys_.contains(key); }
  // Written through to the system when this returns.  Throws std::runtime_error (full disk); the file stays
  // valid.
  void append(const DocumentTokens& document);

 private:
  std::filesystem::path path_;
  int file_ = -1;
  std::uint64_t size_ = 0;
  std::unordered_set<std::string> keys_;
};

// Reads block by block; memory for one document.
class TokenScoreReader {
 public:
  explicit TokenScoreReader(const std::filesystem::path& path);  // throws std::runtime_error
  ~TokenScoreReader();
  // The next document, or none at the end.  Throws std::runtime_error naming file and offset for a damaged
  // block; a torn last block is the end (torn() tells).
  std::optional<DocumentTokens> next();
  bool torn() const { return torn_; }
  std::uint64_t valid_bytes() const { return offset_; }  // end of the last whole block read

  // Whether a file begins like one of token scores.
  static bool recognises(const std::filesystem::path& path);

 private:
  struct File;
  std::filesystem::path path_;
  std::unique_ptr<File> file_;
  std::uint64_t offset_ = 0, size_ = 0;
  bool torn_ = false;
};

}  // namespace deciban
