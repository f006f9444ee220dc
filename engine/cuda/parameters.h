// Parameters in a device's memory: matrices as rows of outputs, vectors, the embedding table.
#pragma once

#include <atomic>
#include <memory>

#include "engine/cuda/memory.h"
#include "engine/ops.h"

namespace deciban::cuda {

struct PackedRows;

class CudaWeight final : public Weight {
 public:
  // Uploads (or, for generated tensors, makes on the device) and converts; what is stored in a format with
  // groups already stays as it is.  i8 by f32 activations is i8g32, as on the CPU.  Throws for values that
  // are not finite in the format.
  CudaWeight(const StoredTensor& tensor, NumericMode mode, std::shared_ptr<std::atomic<std::uint64_t>> total);
  ~CudaWeight() override;
  std::size_t rows() const override { return outputs_; }
  std::size_t columns() const override { return inputs_; }
  std::uint64_t bytes() const override { return values_.bytes() + scales_.bytes() + heads_.bytes(); }

  WeightFormat format() const { return mode_.weights; }
  ActivationFormat activations() const { return mode_.activations; }
  // [outputs][stride], `stride` elements a multiple of 16 bytes; what lies between is zero.
  const void* data() const { return values_.data(); }
  std::size_t stride() const { return stride_; }
  const float* scales() const { return scales_.as<float>(); }  // i8, f8: one an output
  // Of formats with groups, whose stride() means nothing; of f8 without heads.
  PackedRows packed() const;

 private:
  void make_groups(const StoredTensor& tensor);

  NumericMode mode_;
  std::size_t outputs_ = 0, inputs_ = 0, stride_ = 0;
  DeviceBuffer values_, scales_, heads_;
  std::shared_ptr<std::atomic<std::uint64_t>> total_;
};

class CudaVector final : public Vector {
 public:
  explicit CudaVector(std::span<const float> values);
  std::size_t size() const override { return size_; }
  const float* data() const override { return values_.as<float>(); }

 private:
  std::size_t size_;
  DeviceBuffer values_;  // zeros up to a multiple of 64
};

// Rows in bf16 or f16 where the file's values are exact in it, else in f32.
class CudaTable final : public EmbeddingTable {
 public:
  CudaTable(const StoredTensor& tensor, std::shared_ptr<std::atomic<std::uint64_t>> total);
  ~CudaTable() override;
  Tensor::Type type() const { return type_; }
  const void* data() const { return values_.data(); }
  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }

 private:
  Tensor::Type type_;
  std::size_t rows_, columns_;
  DeviceBuffer values_;
  std::shared_ptr<std::atomic<std::uint64_t>> total_;
};

}  // namespace deciban::cuda
