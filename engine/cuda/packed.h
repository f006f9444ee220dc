// Weights of one byte or less: how they are made on the device, what reads them, and e4m3 activations.
// Layouts: packed.cuh.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/cuda/parameters.h"
#include "engine/ops.h"

namespace deciban::cuda {

// Where rows of a weight in groups lie.
struct PackedRows {
  std::byte* values = nullptr;  // row_bytes apart, zero behind the last input
  std::size_t row_bytes = 0;
  std::byte* heads = nullptr;  // of each group: 4 bytes (scale, minimum) or, of i8g32, 2
  std::size_t groups = 0;      // of a row
};
constexpr std::size_t head_bytes(WeightFormat format) { return format == WeightFormat::i8g32 ? 2 : 4; }
// Bytes of a row of so many inputs in a format with groups.
constexpr std::size_t packed_row_bytes(WeightFormat format, std::size_t inputs) {
  return (inputs + 31) / 32 * (format == WeightFormat::i8g32 ? 32 : 16);
}

// [rows][columns] f32 to groups, the same numbers as the CPU's packing chooses, to the bit.  Adds to
// `damaged` for values that are not finite.
void quantise_groups(WeightFormat format, const float* in, std::size_t rows, std::size_t columns,
                     const PackedRows& out, int* damaged);
// The same from rows of blocks as files of our own hold them (engine/cpu/group_blocks.h), on the device.
void adopt_blocks(WeightFormat format, const std::byte* blocks, std::size_t rows, const PackedRows& out,
                  int* damaged);

// A weight in groups as f32 or as bf16, columns behind the last zero up to a multiple of 8 (bf16).
void widen_groups_f32(const CudaWeight& w, float* out, std::size_t out_stride, cudaStream_t stream);
void widen_groups_bf16(const CudaWeight& w, void* out, std::size_t out_stride, cudaStream_t stream);

// Rows of bf16 to e4m3: the largest magnitude becomes 448; `scales` are what the numbers are to be multiplied
// by.
struct E4m3Rows {
  Tensor x;
  std::uint8_t* out = nullptr;  // [rows][stride], zero behind the last column
  std::size_t stride = 0;       // columns rounded up to 16
  float* scales = nullptr;      // [rows]
};
void round_to_e4m3(std::span<const E4m3Rows> all, cudaStream_t stream);

// One product of a group of few rows: weights in groups and x of bf16, or both of e4m3.
// One row by weights in groups is products_few()'s.
constexpr std::size_t kFewPackedRows = 16;
struct FewPacked {
  const CudaWeight* w = nullptr;
  Tensor x;                         // e4m3: as in NarrowProduct
  const float* x_scales = nullptr;  // e4m3
  Tensor y;
  Epilogue epilogue;
};
// All of as many rows, at most kFewPackedRows.  Weights are read once.
void products_few_packed(std::span<const FewPacked> group, cudaStream_t stream);

}  // namespace deciban::cuda
