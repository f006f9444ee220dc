// Weights in groups on their way between a file's rows of blocks and packed panels, bit by bit.
//
// A block is a bf16 scale, for four bits a bf16 minimum too, and its elements: bytes of i8, or of two
// four-bit elements, the first in the lower half.  A row is a whole number of blocks; what lies behind its
// last element is zero.
#pragma once

#include <cstddef>
#include <optional>

#include "engine/checkpoint.h"
#include "engine/ops.h"

namespace deciban::cpu {

// The encoding of a format with groups; none for others.
std::optional<Encoding> encoding_of(WeightFormat format);
// Where the rows of blocks of a tensor lie that is stored in this format, its last dimension being the
// inputs; null if it is stored otherwise.
const std::byte* rows_of(const StoredTensor& tensor, WeightFormat format);

// Whether the scales and minima of these blocks are finite.
bool finite_scales(Encoding encoding, const std::byte* blocks, std::size_t bytes);

// One packed panel of `panel` outputs from `outputs` <= panel rows, or the reverse.
void panel_from_rows(WeightFormat format, std::size_t panel, const std::byte* rows, std::size_t outputs,
                     std::size_t inputs, std::byte* packed);
void rows_from_panel(WeightFormat format, std::size_t panel, const std::byte* packed, std::size_t outputs,
                     std::size_t inputs, std::byte* rows);

}  // namespace deciban::cpu
