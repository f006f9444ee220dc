#include "engine/ops.h"

#include <algorithm>
#include <cmath>

namespace deciban {

OutOfDeviceMemory::~OutOfDeviceMemory() = default;

namespace {

TokenScore best_of(std::span<const float> row) {
  const auto best = std::max_element(row.begin(), row.end());  // the first of equals
  double total = 0;
  for (const float value : row) total += std::exp(static_cast<double>(value) - *best);
  const auto logprob = static_cast<float>(-std::log(total));
  return {logprob, logprob, static_cast<Token>(best - row.begin())};
}

}  // namespace

void Ops::row_best(const Tensor& logits, std::span<TokenScore> scores) {
  std::vector<float> row(logits.columns);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    read(logits, i, 1, row.data());
    scores[i] = best_of(row);
  }
}

void Batch::step_best(std::span<const Token> tokens, std::span<TokenScore> best) {
  const LogitRows logits = step(tokens);
  if (best.size() != logits.rows) {
    throw std::invalid_argument("step_best: as many results as sequences are needed");
  }
  for (std::size_t i = 0; i < logits.rows; ++i) best[i] = best_of(logits.row(i));
}

Tensor Tensor::slice(std::size_t first, std::size_t count) const {
  Tensor part = *this;
  part.data = static_cast<std::byte*>(data) + first * element_bytes(type);
  part.columns = count;
  return part;
}

}  // namespace deciban
