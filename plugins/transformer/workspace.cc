#include "plugins/transformer/workspace.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace deciban::transformer {
namespace {

constexpr std::size_t kCpuChunkValues = 196608;  // of the residual stream: 256 rows at width 768
// On the CPU, all keys and values of the sequences in work, together: as many sequences of the training
// length as fit.
constexpr std::uint64_t kCpuCacheBytes = std::uint64_t{2} << 30;
constexpr std::size_t kMostCpuSlots = 64, kMostCardSlots = 1024, kLeastRows = 64;
// A tile of logits, what the libraries take for themselves, and the rest of a device's own needs.
constexpr std::uint64_t kFixedBytes = std::uint64_t{192} << 20;
// An accelerator's free memory that chunks and their sequences' caches may take together.
constexpr double kShare = 0.6;

double weight_element_bytes(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return 4;
    case WeightFormat::bf16:
    case WeightFormat::f16:
      return 2;
    case WeightFormat::i4:
      return 0.625;
    case WeightFormat::i4g64:
      return 0.5625;
    default:
      return 1.0625;
  }
}

std::string gib(double bytes) { return fmt::format("{:.2f} GiB", bytes / (1 << 30)); }

}  // namespace

std::uint64_t token_bytes(const Shape& s, NumericMode mode) {
  return 2 * s.layers * s.kv_heads * s.head_size * Tensor::element_bytes(Ops::product_type(mode.activations));
}

std::uint64_t row_bytes(const Shape& s, NumericMode mode) {
  const std::uint64_t product = Tensor::element_bytes(Ops::product_type(mode.activations));
  const std::uint64_t queries = s.heads * s.head_size, keys = s.kv_heads * s.head_size;
  // The residual stream, what is normed of it, q, k, v; q once more and what attention finds; the MLP's inner
  // values; the head's maxima and sums by tiles of the vocabulary.
  const std::uint64_t stream = s.width * (s.norm_after ? 8 : 4) + 3 * s.width * product;
  const std::uint64_t attention = (queries + 2 * keys) * product + 2 * queries * product;
  const std::uint64_t mlp = s.ffn * product * (s.gated ? 2 : 1);
  return stream + attention + mlp + s.vocabulary / 16 + token_bytes(s, mode);
}

void check_fits(const Checkpoint& checkpoint, const Shape& shape, NumericMode mode, const Backend& backend) {
  const auto free = backend.free_bytes();
  if (!free) return;
  double weights = 0;
  for (const StoredTensor& tensor : checkpoint.tensors) {
    const bool matrix = tensor.shape.size() == 2;
    weights += static_cast<double>(tensor.elements()) * (matrix ? weight_element_bytes(mode.weights) : 4);
  }
  const double workspace = static_cast<double>(kLeastRows * row_bytes(shape, mode) + kFixedBytes);
  if (weights + workspace <= static_cast<double>(*free)) return;
  throw OutOfDeviceMemory(fmt::format(
      "the model needs {} of {}'s memory (weights {}, workspace {}), and {} are free: end other programs on "
      "it, or use a narrower mode, another device, or --device cpu",
      gib(weights + workspace), backend.device(), gib(weights), gib(workspace),
      gib(static_cast<double>(*free))));
}

StreamPlan plan_stream(const Shape& shape, NumericMode mode, const Backend& backend, std::size_t streams) {
  const auto free = backend.free_bytes();
  if (!free) {
    const std::uint64_t sequence = token_bytes(shape, mode) * std::max<std::size_t>(1, shape.training_length);
    return {std::clamp<std::size_t>(kCpuChunkValues / shape.width, 128, 512),
            static_cast<std::size_t>(std::clamp<std::uint64_t>(kCpuCacheBytes / sequence, 1, kMostCpuSlots))};
  }
  const double share = static_cast<double>(*free) * kShare / static_cast<double>(streams);
  const auto rows = static_cast<std::size_t>(share / static_cast<double>(row_bytes(shape, mode)));
  return {std::clamp(rows, kLeastRows, std::max(kLeastRows, backend.most_chunk_rows())), kMostCardSlots};
}

}  // namespace deciban::transformer
