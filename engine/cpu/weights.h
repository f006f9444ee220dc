// Parameters in the CPU's memory: packed matrices, padded vectors, the embedding table in its file.
#pragma once

#include <atomic>
#include <memory>

#include "engine/cpu/kernels.h"
#include "engine/cpu/memory.h"
#include "engine/cpu/team.h"
#include "engine/ops.h"

namespace deciban::cpu {

class CpuWeight final : public Weight {
 public:
  // Packs with the team's threads into the slabs' memory; releases the mapped pages behind it.  Throws for
  // values that are not finite.
  CpuWeight(const Kernels& kernels, Team& team, Slabs& slabs, const StoredTensor& tensor, NumericMode mode,
            std::shared_ptr<std::atomic<std::uint64_t>> total);
  ~CpuWeight() override;
  std::size_t rows() const override { return outputs_; }
  std::size_t columns() const override { return inputs_; }
  std::uint64_t bytes() const override { return bytes_; }

  WeightFormat format() const { return format_; }
  bool wants_i8() const { return wants_i8_; }  // its inputs are rounded to i8
  const std::byte* packed() const { return piece_.data; }

 private:
  WeightFormat format_;
  bool wants_i8_;
  std::size_t outputs_ = 0, inputs_ = 0, bytes_ = 0;
  Slabs::Piece piece_;
  std::shared_ptr<std::atomic<std::uint64_t>> total_;  // the backend's account
};

class CpuVector final : public Vector {
 public:
  explicit CpuVector(std::span<const float> values);
  std::size_t size() const override { return size_; }
  const float* data() const override { return values_.get(); }

 private:
  struct Free {
    void operator()(float* p) const;
  };
  std::size_t size_;
  std::unique_ptr<float[], Free> values_;  // 64-byte aligned, zeros up to a multiple of 64
};

class CpuTable final : public EmbeddingTable {
 public:
  explicit CpuTable(StoredTensor tensor) : tensor_(std::move(tensor)) {}
  // Writes row `i` as f32.
  void row(std::size_t i, float* out) const {
    tensor_.read(i * tensor_.shape[1], tensor_.shape[1], out);
    // The system maps up to 64 KiB around each row that is met: now and then all of it is given back.
    constexpr std::uint32_t kRows = 64;
    if (++met_ % kRows == 0) tensor_.release(0, tensor_.elements());
  }

 private:
  StoredTensor tensor_;
  mutable std::atomic<std::uint32_t> met_{0};
};

}  // namespace deciban::cpu
