#include "engine/rwkv_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "engine/rwkv.h"

namespace deciban {
namespace {

constexpr std::size_t kCpuChunkValues = 196608;  // of the residual stream: 256 rows at width 768
constexpr std::size_t kLeastRows = 64, kLeastSlots = 4;
constexpr std::size_t kMostCpuSlots = 64, kMostCardSlots = 256;
// A tile of logits, what the libraries take for themselves, and the rest of a device's own needs.
constexpr std::uint64_t kFixedBytes = std::uint64_t{192} << 20;

double element_bytes(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return 4;
    case WeightFormat::bf16:
    case WeightFormat::f16:
      return 2;
    case WeightFormat::i8:
    case WeightFormat::f8:
      return 1;
    case WeightFormat::i4:
      return 0.625;
    case WeightFormat::i4g64:
      return 0.5625;
    case WeightFormat::i8g32:
      return 1.0625;
  }
  return 4;
}

std::string gib(std::uint64_t bytes) {
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1 << 30));
}

// What the largest matrix takes when an accelerator makes bf16 of quantised weights for a long product.
std::uint64_t widened_bytes(const Checkpoint& official, NumericMode mode) {
  if (mode.weights != WeightFormat::i8 && group_of(mode.weights) == 0) return 0;
  std::uint64_t most = 0;
  for (const StoredTensor& tensor : official.tensors) {
    if (tensor.name != "emb.weight") most = std::max<std::uint64_t>(most, tensor.elements() * 2);
  }
  return most;
}

// The narrower mode to try, if this device has one.
std::string narrower(NumericMode mode, const Backend& backend) {
  for (const char* word : {"bf16a", "bf16", "w8a16", "int8", "int4"}) {
    const NumericMode other = numeric_mode(word);
    if (element_bytes(other.weights) < element_bytes(mode.weights) && backend.refusal(other).empty()) {
      return fmt::format("a narrower mode (--mode {}), ", word);
    }
  }
  return {};
}

// Of the budget, what `share` of the free memory allows.
std::size_t within(std::size_t budget, const Backend& backend, double share) {
  const auto free = backend.free_bytes();
  return free ? std::min(budget, static_cast<std::size_t>(static_cast<double>(*free) * share)) : budget;
}

}  // namespace

std::uint64_t weight_bytes(const Checkpoint& official, NumericMode mode) {
  double bytes = 0;
  for (const StoredTensor& tensor : official.tensors) {
    const auto elements = static_cast<double>(tensor.elements());
    const StoredTensor squeezed = tensor.squeezed();
    if (tensor.name == "emb.weight") {  // rows are only copied: as it is stored, if that is narrow
      bytes += elements * (tensor.encoding == Encoding::f32 ? 4 : 2);
    } else if (squeezed.shape.size() < 2 || elements < 65536) {
      bytes += elements * 4;
    } else {
      const WeightFormat format = weight_format(tensor.name, mode.weights);
      bytes += elements * element_bytes(format);
      if (element_bytes(format) == 1) bytes += static_cast<double>(squeezed.shape[0]) * 4;  // scales
    }
  }
  return static_cast<std::uint64_t>(bytes);
}

std::size_t row_bytes(const RwkvShape& s, NumericMode mode) {
  const std::size_t product = Tensor::element_bytes(Ops::product_type(mode.activations));
  // The residual stream, its normed last rows, the value of block 0; then the wider of the two mixings.
  const std::size_t always = s.width * (4 + product) + s.attention * product;
  const std::size_t wide = s.version == RwkvVersion::v6 ? 10 * s.width * 4 : 4 * s.width;
  const std::size_t ranks = 5 * s.mix_rank + s.decay_rank + s.w_rank + s.a_rank + s.v_rank + s.g_rank;
  const std::size_t time = wide + 6 * s.width * product + 7 * s.attention * product + ranks * product;
  const std::size_t channel = 4 * s.width + 2 * s.width * product + s.ffn * product;
  return always + std::max(time, channel);
}

std::uint64_t state_bytes(const RwkvShape& s) {
  const std::uint64_t block =
      s.version == RwkvVersion::v4 ? 4 * s.attention : std::uint64_t{s.attention} * s.head_size;
  return s.layers * (2 * s.width + block) * sizeof(float);
}

void check_fits(const Checkpoint& official, const RwkvShape& shape, NumericMode mode,
                const Backend& backend) {
  const auto free = backend.free_bytes();
  if (!free) return;
  const std::uint64_t weights = weight_bytes(official, mode), state = state_bytes(shape),
                      workspace =
                          kLeastRows * row_bytes(shape, mode) + widened_bytes(official, mode) + kFixedBytes;
  const std::uint64_t needed = weights + state + workspace;
  if (needed <= *free) return;
  throw OutOfDeviceMemory(fmt::format(
      "the model needs {} of {}'s memory (weights {}, workspace {}, a state {}), and {} are free: end other "
      "programs on it, or use {}another device, or --device cpu",
      gib(needed), backend.device(), gib(weights), gib(workspace), gib(state), gib(*free),
      narrower(mode, backend)));
}

std::size_t best_chunk_rows(const RwkvParts& parts, std::size_t streams) {
  // Rows of a product's input should stay in the L2 cache while one panel of weights after the other passes.
  if (!parts.accelerator()) return std::clamp<std::size_t>(kCpuChunkValues / parts.shape.width, 128, 512);
  const std::size_t budget =
      within(parts.backend->activation_budget(), *parts.backend, 0.5 / static_cast<double>(streams));
  return std::clamp(budget / row_bytes(parts.shape, parts.mode), kLeastRows,
                    std::max(kLeastRows, parts.backend->most_chunk_rows()));
}

std::size_t best_slots(const RwkvParts& parts, std::size_t streams) {
  const std::size_t bytes = parts.state_floats() * sizeof(float);
  const std::size_t budget =
      within(parts.backend->state_budget(), *parts.backend, 0.3 / static_cast<double>(streams));
  return std::clamp(budget / bytes, parts.accelerator() ? std::size_t{1} : kLeastSlots,
                    parts.accelerator() ? kMostCardSlots : kMostCpuSlots);
}

}  // namespace deciban
