// A card's free memory as its driver tells it (cudaMemGetInfo), and what of it was taken since.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/ops.h"

namespace deciban {

class CardMemory {
 public:
  // Of the one card that `device` (ModelOptions) names, from now on: the context, which takes some for
  // itself, is made here.  Nothing is told of the CPU and of several cards.  Throws as cuda_backend().
  explicit CardMemory(const std::string& device);
  // Bytes taken since, by whomever.  Absent if nothing is told, or the model runs elsewhere than on this card
  // (`model_device`: its ModelInfo's).
  std::optional<std::uint64_t> taken(const std::string& model_device) const;

 private:
  std::unique_ptr<Backend> card_;
  std::uint64_t free_ = 0;
};

}  // namespace deciban
