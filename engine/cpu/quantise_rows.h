// Matrices as rows of quantised blocks, rounded as the CPU's packing rounds them at loading.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/ops.h"

namespace deciban::cpu {

// All rows (the last dimension) of a tensor, in a format with groups.  What is stored in it already is
// copied. Throws std::runtime_error naming the tensor if a value is not finite.
std::vector<std::byte> quantised_rows(const StoredTensor& tensor, WeightFormat format);

}  // namespace deciban::cpu
