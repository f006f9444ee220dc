// RWKV-5.0, 5.1 and 5.2 (rwkv.md §4).
#include <cmath>

#include "engine/rwkv.h"

namespace deciban {
namespace {

// State of a block: att h_prev [C], S [H][N key][N value], ffn h_prev [C].
class Rwkv5 final : public RwkvNet {
 public:
  explicit Rwkv5(const RwkvLoader& loader) : shape_(loader.shape()), type_(loader.product_type()) {
    for (std::size_t i = 0; i < shape_.layers; ++i) {
      const std::string b = "blocks." + std::to_string(i) + ".";
      std::vector<float> decay = loader.values(b + "att.time_decay");
      for (float& w : decay) w = std::exp(-std::exp(w));
      // The bonus is exponentiated under 5.0's name only (facts: decide by the name, not by the version).
      std::vector<float> bonus;
      if (loader.has(b + "att.time_faaaa")) {
        bonus = loader.values(b + "att.time_faaaa");
      } else {
        bonus = loader.values(b + "att.time_first");
        for (float& u : bonus) u = std::exp(u);
      }
      Layer l{loader.norm(b + "ln1"),
              mix(loader, b + "att.time_mix_r"),
              mix(loader, b + "att.time_mix_k"),
              mix(loader, b + "att.time_mix_v"),
              nullptr,
              loader.vector(per_channel(decay)),
              loader.vector(per_channel(bonus)),
              loader.norm(b + "att.ln_x", kGroupNormEps),
              loader.matrix(b + "att.receptance.weight"),
              loader.matrix(b + "att.key.weight"),
              loader.matrix(b + "att.value.weight"),
              nullptr,
              loader.matrix(b + "att.output.weight"),
              {loader, b, false},
              {}};
      if (shape_.version != RwkvVersion::v5_0) {
        l.mix_g = mix(loader, b + "att.time_mix_g");
        l.gate = loader.matrix(b + "att.gate.weight");
      }
      if (loader.has(b + "att.time_state")) l.tuned = loader.values(b + "att.time_state");
      layers_.push_back(std::move(l));
    }
  }

  std::size_t state_floats() const override { return 2 * shape_.width + shape_.attention * shape_.head_size; }

  void initial_state(std::size_t i, std::span<float> state) const override {
    write_tuned_state(layers_[i].tuned, shape_, state.subspan(shape_.width));
  }

  void block(Ops& ops, std::size_t i, const Chunk& chunk) const override {
    const Layer& l = layers_[i];
    const StateView state = chunk.state.at(i * state_floats());
    const std::size_t mark = ops.mark(), rows = chunk.x.rows, width = shape_.width,
                      attention = shape_.attention;
    std::vector<const Vector*> mixes{l.mix_r.get(), l.mix_k.get(), l.mix_v.get()};
    std::vector<Tensor> mixed;
    if (l.gate) mixes.push_back(l.mix_g.get());
    for (std::size_t n = 0; n < mixes.size(); ++n) mixed.push_back(ops.allocate(rows, width, type_));
    ops.norm_mix(chunk.x, l.norm.view(), chunk.layout, state, mixes, mixed);
    const Tensor r = ops.allocate(rows, attention), k = ops.allocate(rows, attention),
                 v = ops.allocate(rows, attention), out = ops.allocate(rows, attention, type_);
    std::vector<Linear> products = {
        {l.receptance.get(), mixed[0], r}, {l.key.get(), mixed[1], k}, {l.value.get(), mixed[2], v}};
    Tensor g;
    if (l.gate) {
      g = ops.allocate(rows, attention);
      products.push_back({l.gate.get(), mixed[3], g, {.act = Epilogue::Act::silu}});
    }
    ops.linears(products);
    const Wkv5Params params{shape_.heads, shape_.head_size, l.decay.get(), l.bonus.get(), l.group.view()};
    ops.wkv5(params, r, k, v, Tensor{}, g, chunk.layout, state.at(width), out);
    ops.linear(*l.output, out, chunk.x, {.combine = Epilogue::Combine::add});
    ops.release(mark);
    l.channel_mix.run(ops, chunk, state.at(width + attention * shape_.head_size));
  }

 private:
  struct Layer {
    OwnedNorm norm;
    std::unique_ptr<Vector> mix_r, mix_k, mix_v, mix_g, decay, bonus;
    OwnedNorm group;
    std::unique_ptr<Weight> receptance, key, value, gate, output;
    GatedChannelMix channel_mix;
    std::vector<float> tuned;
  };

  static std::unique_ptr<Vector> mix(const RwkvLoader& loader, const std::string& name) {
    return loader.vector(complement(loader.values(name)));
  }
  // [H] (one value a head) or [H, N] to [A].
  std::vector<float> per_channel(const std::vector<float>& values) const {
    std::vector<float> out(shape_.attention);
    const std::size_t repeat = shape_.attention / values.size();
    for (std::size_t c = 0; c < out.size(); ++c) out[c] = values[c / repeat];
    return out;
  }

  RwkvShape shape_;
  Tensor::Type type_;
  std::vector<Layer> layers_;
};

}  // namespace

std::unique_ptr<RwkvNet> load_rwkv5(const RwkvLoader& loader) { return std::make_unique<Rwkv5>(loader); }

}  // namespace deciban
