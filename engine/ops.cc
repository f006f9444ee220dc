#include "engine/ops.h"

namespace deciban {

OutOfDeviceMemory::~OutOfDeviceMemory() = default;

void Ops::row_best(const Tensor& logits, std::span<TokenScore> scores) {
  std::vector<float> row(logits.columns);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    read(logits, i, 1, row.data());
    scores[i] = best_of(row);
  }
}

Tensor Tensor::slice(std::size_t first, std::size_t count) const {
  Tensor part = *this;
  part.data = static_cast<std::byte*>(data) + first * element_bytes(type);
  part.columns = count;
  return part;
}

}  // namespace deciban
