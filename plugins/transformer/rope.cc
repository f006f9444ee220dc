#include "plugins/transformer/rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace deciban::transformer {
namespace {

using std::numbers::pi;

// Wavelengths beyond the old context are stretched, short ones kept, those between blended (Llama 3.1).
void scale_llama3(Fields& f, std::vector<float>& frequencies) {
  const double factor = f.number("factor"), low = f.number("low_freq_factor"),
               high = f.number("high_freq_factor"), old = f.number("original_max_position_embeddings");
  if (!(high > low) || !(factor > 0)) f.fail("high_freq_factor must exceed low_freq_factor, and factor 0");
  for (float& frequency : frequencies) {
    const double length = 2 * pi / frequency;
    if (length < old / high) continue;
    if (length > old / low) {
      frequency = static_cast<float>(frequency / factor);
    } else {
      const double smooth = (old / length - low) / (high - low);
      frequency = static_cast<float>((1 - smooth) * frequency / factor + smooth * frequency);
    }
  }
}

double yarn_magnitude(double scale, double weight) {
  return scale <= 1 ? 1 : 0.1 * weight * std::log(scale) + 1;
}

// Peng et al. 2023 (arXiv:2309.00071), with transformers' defaults.
void scale_yarn(Fields& f, Shape& shape, double base) {
  const auto dim = static_cast<double>(shape.rope.rotary);
  const double old = f.number("original_max_position_embeddings");
  const double factor = f.number("factor", static_cast<double>(shape.training_length) / old);
  const double fast = f.number("beta_fast", 32), slow = f.number("beta_slow", 1);
  const bool truncate = f.flag("truncate", true);
  const double mscale = f.number("mscale", 0), mscale_all = f.number("mscale_all_dim", 0);
  const double usual = mscale != 0 && mscale_all != 0
                           ? yarn_magnitude(factor, mscale) / yarn_magnitude(factor, mscale_all)
                           : yarn_magnitude(factor, 1);
  shape.rope.magnitude = static_cast<float>(f.number("attention_factor", usual));
  if (!(old > 0) || !(factor > 0) || !(fast > 0) || !(slow > 0)) f.fail("yarn: its numbers must be positive");
  const auto dimension = [&](double turns) {
    return dim * std::log(old / (turns * 2 * pi)) / (2 * std::log(base));
  };
  double low = dimension(fast), high = dimension(slow);
  if (truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < shape.rope.frequencies.size(); ++i) {
    const double stretched = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    float& frequency = shape.rope.frequencies[i];
    frequency = static_cast<float>(frequency / factor * stretched + frequency * (1 - stretched));
  }
}

}  // namespace

std::vector<float> plain_frequencies(double base, std::size_t rotary) {
  std::vector<float> frequencies;
  for (std::size_t i = 0; i < rotary; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(rotary);
    frequencies.push_back(1.0f / std::pow(static_cast<float>(base), exponent));
  }
  return frequencies;
}

void read_rope(Fields& config, Shape& shape, double share, double base) {
  static const nlohmann::json kNone = nlohmann::json::object();
  const nlohmann::json* scaling = config.value("rope_parameters");
  const char* name = scaling != nullptr ? "rope_parameters" : "rope_scaling";
  const nlohmann::json* old = config.value("rope_scaling");
  if (scaling == nullptr) scaling = old;
  base = config.number("rope_theta", base);
  share = config.number("partial_rotary_factor", share);
  if (scaling == nullptr) scaling = &kNone;
  if (!scaling->is_object()) config.fail(fmt::format("{} is not an object", name));
  Fields f(*scaling, config.where() + ": " + name);
  base = f.number("rope_theta", base);
  share = f.number("partial_rotary_factor", share);
  const std::string old_kind = f.text("type", "default");
  const std::string kind = f.text("rope_type", old_kind);
  if (!(base > 0) || !(share > 0) || share > 1) {
    config.fail(fmt::format("rotary positions with base {} over {} of a head make no sense", base, share));
  }
  shape.rope.rotary = static_cast<std::size_t>(static_cast<double>(shape.head_size) * share);
  if (shape.rope.rotary % 2 != 0) {
    config.fail(fmt::format("{} channels of a head are to be turned: an odd number", shape.rope.rotary));
  }
  shape.rope.frequencies = plain_frequencies(base, shape.rope.rotary);
  if (kind == "linear") {
    const double factor = f.number("factor");
    if (!(factor > 0)) f.fail("factor must be positive");
    for (float& frequency : shape.rope.frequencies) frequency /= static_cast<float>(factor);
  } else if (kind == "llama3") {
    scale_llama3(f, shape.rope.frequencies);
  } else if (kind == "yarn") {
    scale_yarn(f, shape, base);
  } else if (kind == "dynamic") {
    f.number("factor");
    // Beyond, each new token turns all those before it anew: then p(token) would depend on what comes after
    // it.
    shape.most_tokens = shape.training_length;
  } else if (kind != "default") {
    f.fail(fmt::format("the rope_type '{}' is not supported (known: default, linear, dynamic, llama3, yarn)",
                       kind));
  }
  f.refuse_unread({"original_max_position_embeddings"});
}

}  // namespace deciban::transformer
