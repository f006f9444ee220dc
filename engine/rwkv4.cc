// RWKV-4 (rwkv.md §3).
#include <cmath>

#include "engine/rwkv.h"

namespace deciban {
namespace {

// State of a block: att h_prev [C], aa [A], bb [A], pp [A], what pp lost to rounding [A], ffn h_prev [C].
class Rwkv4 final : public RwkvNet {
 public:
  explicit Rwkv4(const RwkvLoader& loader) : shape_(loader.shape()), type_(loader.product_type()) {
    for (std::size_t i = 0; i < shape_.layers; ++i) {
      const std::string b = "blocks." + std::to_string(i) + ".";
      std::vector<float> decay = loader.values(b + "att.time_decay");
      for (float& w : decay) w = -std::exp(w);
      layers_.push_back({loader.norm(b + "ln1"),
                         loader.vector(complement(loader.values(b + "att.time_mix_k"))),
                         loader.vector(complement(loader.values(b + "att.time_mix_v"))),
                         loader.vector(complement(loader.values(b + "att.time_mix_r"))),
                         loader.vector(decay),
                         loader.vector(b + "att.time_first"),
                         loader.matrix(b + "att.key.weight"),
                         loader.matrix(b + "att.value.weight"),
                         loader.matrix(b + "att.receptance.weight"),
                         loader.matrix(b + "att.output.weight"),
                         {loader, b, false}});
    }
  }

  std::size_t state_floats() const override { return 2 * shape_.width + 4 * shape_.attention; }

  void initial_state(std::size_t, std::span<float> state) const override {
    // The running exponent starts below everything; not at -inf, whose differences are NaN.
    for (std::size_t c = 0; c < shape_.attention; ++c)
      state[shape_.width + 2 * shape_.attention + c] = -1e30f;
  }

  std::vector<float> official_state(std::span<const float> state) const override {
    std::vector<float> out(state.begin(), state.end());
    const auto lost = out.begin() + static_cast<std::ptrdiff_t>(shape_.width + 3 * shape_.attention);
    out.erase(lost, lost + static_cast<std::ptrdiff_t>(shape_.attention));
    return out;
  }

  void block(Ops& ops, std::size_t i, const Chunk& chunk) const override {
    const Layer& l = layers_[i];
    const StateView state = chunk.state.at(i * state_floats());
    const std::size_t mark = ops.mark(), rows = chunk.x.rows, width = shape_.width,
                      attention = shape_.attention;
    const Tensor xk = ops.allocate(rows, width, type_), xv = ops.allocate(rows, width, type_),
                 xr = ops.allocate(rows, width, type_);
    ops.norm_mix(chunk.x, l.norm.view(), chunk.layout, state,
                 std::vector<const Vector*>{l.mix_k.get(), l.mix_v.get(), l.mix_r.get()},
                 std::vector<Tensor>{xk, xv, xr});
    const Tensor r = ops.allocate(rows, attention), k = ops.allocate(rows, attention),
                 v = ops.allocate(rows, attention), out = ops.allocate(rows, attention, type_);
    ops.linears(std::vector<Linear>{{l.receptance.get(), xr, r, {.act = Epilogue::Act::sigmoid}},
                                    {l.key.get(), xk, k},
                                    {l.value.get(), xv, v}});
    ops.wkv4(r, k, v, *l.decay, *l.first, chunk.layout, state.at(width), out);
    ops.linear(*l.output, out, chunk.x, {.combine = Epilogue::Combine::add});
    ops.release(mark);
    l.channel_mix.run(ops, chunk, state.at(width + 4 * attention));
  }

 private:
  struct Layer {
    OwnedNorm norm;
    std::unique_ptr<Vector> mix_k, mix_v, mix_r, decay, first;
    std::unique_ptr<Weight> key, value, receptance, output;
    GatedChannelMix channel_mix;
  };
  RwkvShape shape_;
  Tensor::Type type_;
  std::vector<Layer> layers_;
};

}  // namespace

std::unique_ptr<RwkvNet> load_rwkv4(const RwkvLoader& loader) { return std::make_unique<Rwkv4>(loader); }

}  // namespace deciban
