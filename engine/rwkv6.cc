// RWKV-6 (x060; rwkv.md §5).
#include <array>

#include "engine/rwkv.h"

namespace deciban {
namespace {

constexpr std::array kTargets = {"w", "k", "v", "r", "g"};  // the order of the five data-dependent mixes

// State of a block: att h_prev [C], S [H][N key][N value], ffn h_prev [C].
class Rwkv6 final : public RwkvNet {
 public:
  explicit Rwkv6(const RwkvLoader& loader) : shape_(loader.shape()), type_(loader.product_type()) {
    for (std::size_t i = 0; i < shape_.layers; ++i) {
      const std::string b = "blocks." + std::to_string(i) + ".";
      Layer l{loader.norm(b + "ln1"),
              loader.vector(b + "att.time_maa_x"),
              {},
              loader.lora(b + "att.time_maa_w1"),
              {},
              loader.vector(b + "att.time_decay"),
              loader.lora(b + "att.time_decay_w1"),
              loader.lora(b + "att.time_decay_w2"),
              loader.vector(b + "att.time_faaaa"),
              loader.norm(b + "att.ln_x", kGroupNormEps),
              loader.matrix(b + "att.receptance.weight"),
              loader.matrix(b + "att.key.weight"),
              loader.matrix(b + "att.value.weight"),
              loader.matrix(b + "att.gate.weight"),
              loader.matrix(b + "att.output.weight"),
              {loader, b, true},
              {}};
      for (std::size_t n = 0; n < kTargets.size(); ++n) {
        l.mix[n] = loader.vector(b + "att.time_maa_" + kTargets[n]);
        l.mix_w2[n] = loader.matrix(loader.tensor(b + "att.time_maa_w2").slice(n).transposed());
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
    using Act = Epilogue::Act;
    using Combine = Epilogue::Combine;
    const Layer& l = layers_[i];
    const StateView state = chunk.state.at(i * state_floats());
    const std::size_t mark = ops.mark(), rows = chunk.x.rows, width = shape_.width,
                      attention = shape_.attention;
    const std::size_t rank = shape_.mix_rank;

    // x_c = h + (h_prev - h) (maa_c + z_c w2_c), z = tanh((h + (h_prev - h) maa_x) w1).
    Tensor h = ops.allocate(rows, width), h_prev = ops.allocate(rows, width);
    const Tensor xx = ops.allocate(rows, width, type_), z = ops.allocate(rows, 5 * rank, type_);
    ops.norm_mix(chunk.x, l.norm.view(), chunk.layout, state, std::vector<const Vector*>{l.mix_x.get()},
                 std::vector<Tensor>{xx}, &h, &h_prev);
    ops.linear(*l.mix_w1, xx, z, {.act = Act::tanh});
    std::array<Tensor, 5> x;
    std::vector<Linear> products;
    for (std::size_t n = 0; n < x.size(); ++n) {
      x[n] = ops.allocate(rows, width, type_);
      products.push_back({l.mix_w2[n].get(),
                          z.slice(n * rank, rank),
                          x[n],
                          {.combine = Combine::lerp, .bias = l.mix[n].get(), .base = h, .target = h_prev}});
    }
    ops.linears(products);

    const Tensor decay_low = ops.allocate(rows, shape_.decay_rank, type_);
    const Tensor w = ops.allocate(rows, attention), k = ops.allocate(rows, attention),
                 v = ops.allocate(rows, attention), r = ops.allocate(rows, attention),
                 g = ops.allocate(rows, attention), out = ops.allocate(rows, attention, type_);
    products = {{l.key.get(), x[1], k},
                {l.value.get(), x[2], v},
                {l.receptance.get(), x[3], r},
                {l.gate.get(), x[4], g, {.act = Act::silu}},
                {l.decay_w1.get(), x[0], decay_low, {.act = Act::tanh}}};
    ops.linears(products);
    ops.linear(*l.decay_w2, decay_low, w, {.act = Act::exp_neg_exp, .bias = l.decay.get()});
    const Wkv5Params params{shape_.heads, shape_.head_size, nullptr, l.bonus.get(), l.group.view()};
    ops.wkv5(params, r, k, v, w, g, chunk.layout, state.at(width), out);
    ops.linear(*l.output, out, chunk.x, {.combine = Combine::add});
    ops.release(mark);
    l.channel_mix.run(ops, chunk, state.at(width + attention * shape_.head_size));
  }

 private:
  struct Layer {
    OwnedNorm norm;
    std::unique_ptr<Vector> mix_x;
    std::array<std::unique_ptr<Vector>, 5> mix;
    std::unique_ptr<Weight> mix_w1;
    std::array<std::unique_ptr<Weight>, 5> mix_w2;
    std::unique_ptr<Vector> decay;
    std::unique_ptr<Weight> decay_w1, decay_w2;
    std::unique_ptr<Vector> bonus;
    OwnedNorm group;
    std::unique_ptr<Weight> receptance, key, value, gate, output;
    GatedChannelMix channel_mix;
    std::vector<float> tuned;
  };
  RwkvShape shape_;
  Tensor::Type type_;
  std::vector<Layer> layers_;
};

}  // namespace

std::unique_ptr<RwkvNet> load_rwkv6(const RwkvLoader& loader) { return std::make_unique<Rwkv6>(loader); }

}  // namespace deciban
