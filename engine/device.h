// Device words: "auto", "cpu", "cuda", "cuda:0,1" to backends.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/export.h"
#include "engine/ops.h"

namespace deciban {

struct DeviceWord {
  enum class Kind { automatic, cpu, cuda };
  Kind kind = Kind::cpu;
  std::vector<int> indices;  // cuda: each once, in the order given
};

// Throws std::invalid_argument naming the word and the known ones.
DECIBAN_API DeviceWord parse_device(const std::string& word);

// One backend for each device of the word.  "auto" is the first CUDA device if there is one that computes in
// `mode` (a word of numeric_mode(), or "auto"), else the CPU.  Throws std::runtime_error saying what is
// missing, or that the cards named are of different kinds.
DECIBAN_API std::vector<std::unique_ptr<Backend>> open_backends(const std::string& word,
                                                                const std::string& mode, bool deterministic);

// "cpu", "cuda:0", "cuda:0,1".
DECIBAN_API std::string device_name(const std::vector<std::unique_ptr<Backend>>& backends);

}  // namespace deciban
