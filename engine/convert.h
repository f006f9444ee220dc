// RWKV models written anew as safetensors with official names, their matrices in another format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "engine/export.h"

namespace deciban {

struct Conversion {
  std::uint64_t bytes_before = 0, bytes_after = 0;  // of the files
  std::uint64_t parameters = 0;
  std::string family;  // "rwkv7"
};

// Reads the model at `input` and writes `output`, which appears whole or not at all and replaces what is
// there. `format`: bf16, f16, int8, int4 or int4g64.  Opened in the mode of that name (the "auto" of such a
// file) the result gives the log-probabilities that `input` gives in it on the CPU, bit by bit.  Embedding
// and vectors stay as they are stored.  Throws std::invalid_argument for another word, std::runtime_error for
// what cannot be read or written.
DECIBAN_API Conversion convert_rwkv(const std::filesystem::path& input, const std::string& format,
                                    const std::filesystem::path& output);

}  // namespace deciban
