// How quantised matrices lie in safetensors files of our own (docs/formats.md): as U8 tensors of rows of
// blocks, described by an entry of the file's metadata.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/mapped_file.h"
#include "engine/ops.h"

namespace deciban {

inline constexpr const char* kQuantisedKey = "deciban.quantised";

// A matrix as it is described: its shape, and whether rows of blocks run along its last dimension but one.
struct QuantisedEntry {
  std::string name;
  Encoding encoding;
  std::vector<std::size_t> shape;
  bool transposed = false;
};

// The metadata's text.
std::string describe_quantised(const std::vector<QuantisedEntry>& entries);

// Where the rows of blocks of a matrix lie that is stored in this format, its last dimension being the
// inputs; null if it is stored otherwise.  For backends that keep them as they are.
DECIBAN_API const std::byte* stored_blocks(const StoredTensor& tensor, WeightFormat format);

// Turns the U8 tensors that the file's metadata describes into quantised ones.  Throws, naming file and
// tensor, for a description that does not fit.
void apply_quantised(const FileBytes& file, Checkpoint& checkpoint);

}  // namespace deciban
