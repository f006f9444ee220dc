// How keys and values lie in a page of the cache, for the host and for kernels.
//
// A page holds kPage tokens of all layers: for each layer and head of keys first the keys, then the values.
// 16-bit elements lie as the matrix instructions of Hopper read them from shared memory, so that a plain copy
// of bytes is all that brings them there: parts of 64 channels (the last one may have 16 or 32), in each the
// tokens' rows one after the other, and in a row the 16-byte pieces permuted by the token's number (the
// "128-, 64- or 32-byte swizzle").  f32 elements lie in plain rows.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "engine/ops.h"

namespace deciban::cuda {

constexpr int kPageTokens = static_cast<int>(KvCache::kPage);
constexpr int kPartBytes = kPageTokens * 128;  // of 64 channels in 16 bits

// Channels of a head with its padding, which is zero.
constexpr int padded_channels(int size, bool narrow) {
  if (!narrow) return (size + 3) / 4 * 4;
  const int rest = size % 64;
  return size / 64 * 64 + (rest == 0 ? 0 : rest <= 16 ? 16 : rest <= 32 ? 32 : 64);
}

// Bytes from a head's keys (or values) in 16 bits to the piece of 8 channels, `piece` counted over the head.
__host__ __device__ inline int piece_offset(int padded, int token, int piece) {
  const int part = piece / 8, left = padded / 8 - part * 8, width = left < 8 ? left : 8;
  return part * kPartBytes + token * width * 16 + (((piece % 8) ^ ((token * width / 8) & (width - 1))) * 16);
}
// Bytes from a head's keys (or values) to an element; even channels and the next one are neighbours.
__host__ __device__ inline int element_offset(int padded, bool narrow, int token, int channel) {
  if (!narrow) return (token * padded + channel) * 4;
  return piece_offset(padded, token, channel / 8) + channel % 8 * 2;
}

constexpr int kStepCounters = 4;

// One layer of the cache and the chunk in work, as kernels see them.
struct KvView {
  std::byte* const* pages = nullptr;  // [slots][page_stride], every entry below a sequence's end is a page
  int page_stride = 0;
  const int2* rows = nullptr;  // [rows of the chunk]: slot, position
  // Query tiles: first row, rows, slot, the first row's position; a sequence's side by side, heavy ones
  // first.
  const int4* tiles = nullptr;
  int tile_count = 0;
  int* counters = nullptr;  // zeros, and zeros again after each kernel: kStepCounters a row and head of keys
  int most_pages = 0;       // of a sequence of the chunk, rounded up: for the grids of recorded steps
  std::size_t offset = 0;   // of the layer in a page
  int head_bytes = 0, value_offset = 0;
  int size = 0, padded = 0;
  Tensor::Type type = Tensor::Type::f32;
};

}  // namespace deciban::cuda
