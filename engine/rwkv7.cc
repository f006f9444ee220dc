// RWKV-7 (x070; rwkv.md §6).
#include "engine/rwkv.h"

namespace deciban {
namespace {

// State of a block: att h_prev [C], S [H][N key][N value], ffn h_prev [C].
class Rwkv7 final : public RwkvNet {
 public:
  explicit Rwkv7(const RwkvLoader& loader) : shape_(loader.shape()), type_(loader.product_type()) {
    for (std::size_t i = 0; i < shape_.layers; ++i) {
      const std::string b = "blocks." + std::to_string(i) + ".", a = b + "att.";
      Layer l;
      l.norm = loader.norm(b + "ln1");
      for (const char* c : {"r", "w", "k", "v", "a", "g"}) l.mix.push_back(loader.vector(a + "x_" + c));
      l.w = {loader.vector(a + "w0"), loader.lora(a + "w1"), loader.lora(a + "w2")};
      l.a = {loader.vector(a + "a0"), loader.lora(a + "a1"), loader.lora(a + "a2")};
      if (i > 0) l.v = {loader.vector(a + "v0"), loader.lora(a + "v1"), loader.lora(a + "v2")};
      l.g = {nullptr, loader.lora(a + "g1"), loader.lora(a + "g2")};
      l.k_k = loader.vector(a + "k_k");
      l.k_a = loader.vector(a + "k_a");
      l.r_k = loader.vector(a + "r_k");
      l.group = loader.norm(a + "ln_x", kGroupNormEps);
      l.receptance = loader.matrix(a + "receptance.weight");
      l.key = loader.matrix(a + "key.weight");
      l.value = loader.matrix(a + "value.weight");
      l.output = loader.matrix(a + "output.weight");
      l.ffn_norm = loader.norm(b + "ln2");
      l.ffn_mix = loader.vector(b + "ffn.x_k");
      l.ffn_key = loader.matrix(b + "ffn.key.weight");
      l.ffn_value = loader.matrix(b + "ffn.value.weight");
      layers_.push_back(std::move(l));
    }
  }

  std::size_t state_floats() const override { return 2 * shape_.width + shape_.attention * shape_.head_size; }
  bool needs_v_first() const override { return true; }

  // Ours is [key][value], the official one [value][key].
  std::vector<float> official_state(std::span<const float> state) const override {
    std::vector<float> out(state.begin(), state.end());
    const std::size_t n = shape_.head_size;
    for (std::size_t h = 0; h < shape_.heads; ++h) {
      const std::size_t first = shape_.width + h * n * n;
      for (std::size_t key = 0; key < n; ++key) {
        for (std::size_t value = 0; value < n; ++value) {
          out[first + value * n + key] = state[first + key * n + value];
        }
      }
    }
    return out;
  }

  void block(Ops& ops, std::size_t i, const Chunk& chunk) const override {
    const Layer& l = layers_[i];
    const StateView state = chunk.state.at(i * state_floats());
    time_mix(ops, l, i == 0, chunk, state);
    channel_mix(ops, l, chunk, state.at(shape_.width + shape_.attention * shape_.head_size));
  }

 private:
  struct Lora {
    std::unique_ptr<Vector> bias;
    std::unique_ptr<Weight> down, up;
  };
  struct Layer {
    OwnedNorm norm;
    std::vector<std::unique_ptr<Vector>> mix;  // r, w, k, v, a, g
    Lora w, a, v, g;
    std::unique_ptr<Vector> k_k, k_a, r_k;
    OwnedNorm group;
    std::unique_ptr<Weight> receptance, key, value, output;
    OwnedNorm ffn_norm;
    std::unique_ptr<Vector> ffn_mix;
    std::unique_ptr<Weight> ffn_key, ffn_value;
  };

  void time_mix(Ops& ops, const Layer& l, bool first, const Chunk& chunk, StateView state) const {
    using Act = Epilogue::Act;
    const std::size_t mark = ops.mark(), rows = chunk.x.rows, width = shape_.width,
                      attention = shape_.attention;
    std::vector<const Vector*> mixes;
    std::vector<Tensor> x;
    for (const auto& mix : l.mix) {
      mixes.push_back(mix.get());
      x.push_back(ops.allocate(rows, width, type_));
    }
    ops.norm_mix(chunk.x, l.norm.view(), chunk.layout, state, mixes, x);

    const Tensor r = ops.allocate(rows, attention), w = ops.allocate(rows, attention),
                 k = ops.allocate(rows, attention), a = ops.allocate(rows, attention),
                 g = ops.allocate(rows, attention), out = ops.allocate(rows, attention, type_);
    const Tensor v = first ? chunk.v_first : ops.allocate(rows, attention);
    // All that reads the mixes, then all that reads the LoRAs' inner values.
    std::vector<Linear> down = {
        {l.receptance.get(), x[0], r}, {l.key.get(), x[2], k}, {l.value.get(), x[3], v}};
    std::vector<Linear> up;
    const auto lora = [&](const Lora& lora, Act inner, const Tensor& in, Tensor y, Epilogue epilogue) {
      const Tensor low = ops.allocate(rows, lora.down->rows(), type_);
      epilogue.bias = lora.bias.get();
      down.push_back({lora.down.get(), in, low, {.act = inner}});
      up.push_back({lora.up.get(), low, y, epilogue});
    };
    lora(l.w, Act::tanh, x[1], w, {.act = Act::decay7});
    lora(l.a, Act::none, x[4], a, {.act = Act::sigmoid});
    lora(l.g, Act::sigmoid, x[5], g, {});
    if (!first) {  // the value residual: v moves towards block 0's
      lora(l.v, Act::none, x[3], v,
           {.act = Act::sigmoid, .combine = Epilogue::Combine::lerp, .base = v, .target = chunk.v_first});
    }
    ops.linears(down);
    ops.linears(up);
    const Wkv7Params params{shape_.heads, shape_.head_size, l.k_k.get(),
                            l.k_a.get(),  l.r_k.get(),      l.group.view()};
    ops.wkv7(params, r, w, k, v, a, g, chunk.layout, state.at(width), out);
    ops.linear(*l.output, out, chunk.x, {.combine = Epilogue::Combine::add});
    ops.release(mark);
  }

  void channel_mix(Ops& ops, const Layer& l, const Chunk& chunk, StateView shift) const {
    const std::size_t mark = ops.mark(), rows = chunk.x.rows;
    const Tensor xk = ops.allocate(rows, shape_.width, type_), k = ops.allocate(rows, shape_.ffn, type_);
    ops.norm_mix(chunk.x, l.ffn_norm.view(), chunk.layout, shift, std::vector<const Vector*>{l.ffn_mix.get()},
                 std::vector<Tensor>{xk});
    ops.linear(*l.ffn_key, xk, k, {.act = Epilogue::Act::relu2});
    ops.linear(*l.ffn_value, k, chunk.x, {.combine = Epilogue::Combine::add});
    ops.release(mark);
  }

  RwkvShape shape_;
  Tensor::Type type_;
  std::vector<Layer> layers_;
};

}  // namespace

std::unique_ptr<RwkvNet> load_rwkv7(const RwkvLoader& loader) { return std::make_unique<Rwkv7>(loader); }

}  // namespace deciban
