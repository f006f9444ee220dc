// What a transformer needs of a device's memory, and how much of it scoring takes.
#pragma once

#include <cstdint>

#include "engine/checkpoint.h"
#include "engine/ops.h"
#include "plugins/transformer/shape.h"

namespace deciban::transformer {

// Keys and values of one token, all layers.
std::uint64_t token_bytes(const Shape& shape, NumericMode mode);
// Activations of one row of a chunk at their widest, with the cache's place for it.
std::uint64_t row_bytes(const Shape& shape, NumericMode mode);

// Throws OutOfDeviceMemory, naming what is needed and what is free, if the weights and the smallest
// workspace do not fit into an accelerator's free memory.
void check_fits(const Checkpoint& checkpoint, const Shape& shape, NumericMode mode, const Backend& backend);

// How one stream scores, of so many on the device.
struct StreamPlan {
  std::size_t chunk_rows = 0;  // tokens computed together
  std::size_t slots = 0;       // sequences with a cache
};
StreamPlan plan_stream(const Shape& shape, NumericMode mode, const Backend& backend, std::size_t streams);

}  // namespace deciban::transformer
