// A file compressed by a model: what it was made with, so that nothing else tries to read it, its segments,
// and a checksum that proves the result.
//
// Layout: the magic "DECIBAN\1", the header's length (4 bytes, little-endian) and SHA-256 (its first 8
// bytes), the header, then the segments' codes one after the other.  In the header numbers are LEB128, texts
// follow their length: numerics version, model (name, digest), tokenizer digest, mode, kernels, start token +
// 1 (0: none), lockstep streams, size and SHA-256 of the content, number of segments, and of each segment its
// bytes, tokens (0: stored as it is) and code's bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/lm.h"

namespace deciban {

struct CodedSegment {
  std::uint64_t bytes = 0;   // of the content
  std::uint64_t tokens = 0;  // 0: stored as it is
  std::string code;
};

struct CodedFile {
  int numerics_version = 0;
  std::string model, model_digest, tokenizer_digest, mode, kernels;
  std::optional<Token> start;
  std::uint64_t streams = 1;
  std::uint64_t size = 0;
  std::string sha256;  // of the content, hex
  std::vector<CodedSegment> segments;

  // What a model says of itself.
  void describe(const ModelInfo& info);
  // Throws std::runtime_error saying in words what differs, and what to do, if this file was made with
  // another model, mode, kernel table or numerics version.
  void check(const ModelInfo& info) const;
};

std::string to_bytes(const CodedFile& file);
// Throws std::runtime_error: no such file, damaged header, truncated, something behind the end.
CodedFile parse_coded_file(std::string_view bytes);

}  // namespace deciban
