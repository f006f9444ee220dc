// Conversion of stored elements to f32, one contiguous or evenly spaced run at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/checkpoint.h"

namespace deciban {

// Elements [first, first + count) of the array at `data` (for quantised encodings: whole blocks) to
// out.
void convert_run(Encoding encoding, const std::byte* data, std::size_t first, std::size_t count, float* out);

// Elements first, first + stride, … (count of them) to out.
void convert_strided(Encoding encoding, const std::byte* data, std::size_t first, std::ptrdiff_t stride,
                     std::size_t count, float* out);

// Bytes of a row of so many elements, the last block filled up.
DECIBAN_API std::size_t row_bytes(Encoding encoding, std::size_t elements);

// IEEE half precision, subnormals, infinities and NaNs included.
float half_to_float(std::uint16_t half);

}  // namespace deciban
