#include "engine/ops.h"

#include <algorithm>
#include <cmath>

namespace deciban {

OutOfDeviceMemory::~OutOfDeviceMemory() = default;

void Ops::row_best(const Tensor& logits, std::span<TokenScore> scores) {
  std::vector<float> row(logits.columns);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    read(logits, i, 1, row.data());
    const auto best = std::max_element(row.begin(), row.end());  // the first of equals
    double total = 0;
    for (const float value : row) total += std::exp(static_cast<double>(value) - *best);
    const auto logprob = static_cast<float>(-std::log(total));
    scores[i] = {logprob, logprob, static_cast<Token>(best - row.begin())};
  }
}

Tensor Tensor::slice(std::size_t first, std::size_t count) const {
  Tensor part = *this;
  part.data = static_cast<std::byte*>(data) + first * element_bytes(type);
  part.columns = count;
  return part;
}

}  // namespace deciban
