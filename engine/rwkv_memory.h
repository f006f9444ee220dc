// What an RWKV model needs of a device's memory, before anything is loaded, and how much of it a stream
// takes.
#pragma once

#include <cstdint>

#include "engine/checkpoint.h"
#include "engine/ops.h"
#include "engine/rwkv_names.h"
#include "engine/rwkv_stream.h"

namespace deciban {

// Bytes of all parameters in the mode's formats.
std::uint64_t weight_bytes(const Checkpoint& official, NumericMode mode);
// Bytes of the activations of one token on its way through the blocks, about.
std::size_t row_bytes(const RwkvShape& shape, NumericMode mode);
// Bytes of one sequence's state.
std::uint64_t state_bytes(const RwkvShape& shape);

// Throws OutOfDeviceMemory with the bytes needed and had if weights, the smallest workspace and one state do
// not fit into the backend's free memory.  Nothing where that is the system's affair.
void check_fits(const Checkpoint& official, const RwkvShape& shape, NumericMode mode, const Backend& backend);

// Tokens of a chunk, and states, that one of `streams` streams on the device should have: the backend's
// budgets, and no more than a part of what memory is left.
std::size_t best_chunk_rows(const RwkvParts& parts, std::size_t streams);
std::size_t best_slots(const RwkvParts& parts, std::size_t streams);

}  // namespace deciban
