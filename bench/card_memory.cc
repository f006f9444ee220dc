#include "bench/card_memory.h"

#include "engine/cuda_module.h"
#include "engine/device.h"

namespace deciban {

CardMemory::CardMemory(const std::string& device) {
  const DeviceWord word = parse_device(device);
  const bool automatic = word.kind == DeviceWord::Kind::automatic && cuda_available();
  if (word.indices.size() != 1 && !automatic) return;
  card_ = cuda_backend(automatic ? 0 : word.indices.front(), false);
  free_ = card_->free_bytes().value_or(0);
}

std::optional<std::uint64_t> CardMemory::taken(const std::string& model_device) const {
  if (!card_ || model_device != card_->device()) return std::nullopt;
  const std::uint64_t free = card_->free_bytes().value_or(free_);
  return free < free_ ? std::optional(free_ - free) : std::nullopt;
}

}  // namespace deciban
