#include "engine/rwkv.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

namespace deciban {

WeightFormat weight_format(std::string_view name, WeightFormat asked) {
  if (asked == WeightFormat::f8) return name.ends_with(".weight") ? asked : WeightFormat::bf16;
  if (asked != WeightFormat::i4 && asked != WeightFormat::i4g64) return asked;
  const bool large = name.starts_with("blocks.") && name.ends_with(".weight");
  return large ? asked : WeightFormat::i8g32;
}

std::unique_ptr<Weight> RwkvLoader::matrix(const StoredTensor& tensor) const {
  return backend_.matrix(tensor, {weight_format(tensor.name, mode_.weights), mode_.activations});
}

std::unique_ptr<Weight> RwkvLoader::matrix(const std::string& name) const {
  return matrix(official_.at(name));
}

std::unique_ptr<Weight> RwkvLoader::lora(const std::string& name) const {
  return matrix(official_.at(name).transposed());
}

std::vector<float> RwkvLoader::values(const std::string& name) const {
  std::vector<float> values = official_.at(name).read_all();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      throw std::runtime_error(
          fmt::format("tensor '{}' holds {} at element {}: the file is damaged or its training diverged",
                      name, values[i], i));
    }
  }
  return values;
}

std::unique_ptr<Vector> RwkvLoader::vector(const std::string& name) const { return vector(values(name)); }

std::unique_ptr<Vector> RwkvLoader::vector(std::span<const float> values) const {
  return backend_.vector(values);
}

OwnedNorm RwkvLoader::norm(const std::string& prefix, float eps) const {
  return {vector(prefix + ".weight"), vector(prefix + ".bias"), eps};
}

std::vector<float> complement(std::vector<float> mix) {
  for (float& m : mix) m = 1.0f - m;
  return mix;
}

void write_tuned_state(std::span<const float> tuned, const RwkvShape& shape, std::span<float> state) {
  const std::size_t n = shape.head_size;
  for (std::size_t i = 0; i < tuned.size(); ++i) {
    const std::size_t head = i / (n * n), value = i / n % n, key = i % n;
    state[head * n * n + key * n + value] = tuned[i];
  }
}

GatedChannelMix::GatedChannelMix(const RwkvLoader& loader, const std::string& block, bool lerp)
    : type_(loader.product_type()),
      activations_(loader.activations()),
      ffn_(loader.shape().ffn),
      norm_(loader.norm(block + "ln2")),
      key_(loader.matrix(block + "ffn.key.weight")),
      receptance_(loader.matrix(block + "ffn.receptance.weight")),
      value_(loader.matrix(block + "ffn.value.weight")) {
  if (lerp) {
    mix_k_ = loader.vector(block + "ffn.time_maa_k");
    mix_r_ = loader.vector(block + "ffn.time_maa_r");
  } else {
    mix_k_ = loader.vector(complement(loader.values(block + "ffn.time_mix_k")));
    mix_r_ = loader.vector(complement(loader.values(block + "ffn.time_mix_r")));
  }
}

void GatedChannelMix::run(Ops& ops, const Chunk& chunk, StateView shift) const {
  using Act = Epilogue::Act;
  const std::size_t mark = ops.mark(), rows = chunk.x.rows, width = chunk.x.columns;
  const Tensor xk = ops.allocate(rows, width, type_), xr = ops.allocate(rows, width, type_);
  ops.norm_mix(chunk.x, norm_.view(), chunk.layout, shift,
               std::vector<const Vector*>{mix_k_.get(), mix_r_.get()}, std::vector<Tensor>{xk, xr});
  const Tensor r = ops.allocate(rows, width, ops.inner_type(activations_)),
               k = ops.allocate(rows, ffn_, type_);
  ops.products(std::vector<Product>{{receptance_.get(), xr, r, {.act = Act::sigmoid}},
                                    {key_.get(), xk, k, {.act = Act::relu2}}});
  ops.linear(*value_, k, chunk.x, {.combine = Epilogue::Combine::gate_add, .gate = r});
  ops.release(mark);
}

}  // namespace deciban
