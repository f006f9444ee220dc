// What the fuzzers of checkpoint readers do with a file: everything that opening a model does.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "engine/mapped_file.h"
#include "engine/readers.h"
#include "engine/rwkv_names.h"

namespace deciban {

// A hostile file may only be refused with std::runtime_error: any other exception is a finding, and ends the
// fuzzer.
inline void fuzz_checkpoint(std::span<const std::byte> bytes, Checkpoint (*read)(const FileBytes&)) {
  const auto look_at = [](const Checkpoint& checkpoint) {
    constexpr std::size_t kTensors = 200, kElements = 5000;
    std::vector<float> values(kElements);
    for (std::size_t i = 0; i < std::min(checkpoint.tensors.size(), kTensors); ++i) {
      const StoredTensor& tensor = checkpoint.tensors[i];
      const std::size_t count = std::min(tensor.elements(), kElements);
      tensor.read(0, count, values.data());
      tensor.read(tensor.elements() - count, count, values.data());
      if (tensor.shape.size() >= 2) tensor.transposed().read(tensor.elements() - count, count, values.data());
      tensor.release(0, tensor.elements());
    }
  };
  try {
    const Checkpoint checkpoint = read(memory_file("fuzz", bytes));
    look_at(checkpoint);
    const Checkpoint official = official_rwkv(checkpoint);
    look_at(official);
    parameter_count(official);
    rwkv_shape(official);
  } catch (const std::runtime_error&) {
  }
}

}  // namespace deciban
