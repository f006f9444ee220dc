// What the versions of RWKV share: loading parameters, one block's contract, and the table of versions.
//
// A version is one file (rwkv4.cc … rwkv7.cc) and one line in rwkv_model.cc's table.  Model files use the
// operations of ops.h and know no backend.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/ops.h"
#include "engine/rwkv_names.h"

namespace deciban {

// A chunk of tokens on its way through the blocks.
struct Chunk {
  Tensor x;  // [rows, C] f32: the residual stream, changed by each block
  Layout layout;
  StateView state;  // of block 0; block i lies i * RwkvNet::state_floats() further
  Tensor v_first;   // [rows, A] inner type: RWKV-7's values of block 0; else unused
};

// The blocks of one model.  Immutable after loading; any number of threads may run block() with Ops of their
// own.
class RwkvNet {
 public:
  virtual ~RwkvNet() = default;
  // Time mixing and channel mixing of block i on the chunk.
  virtual void block(Ops& ops, std::size_t i, const Chunk& chunk) const = 0;
  // Floats of one sequence's state in one block.
  virtual std::size_t state_floats() const = 0;
  // The state of block i before the first token; `state` comes zeroed.
  virtual void initial_state(std::size_t /*i*/, std::span<float> /*state*/) const {}
  // A block's state in the official layout (rwkv.md: att h_prev, then aa bb pp or S, then ffn h_prev).
  virtual std::vector<float> official_state(std::span<const float> state) const {
    return {state.begin(), state.end()};
  }
  virtual bool needs_v_first() const { return false; }
};

// A LayerNorm's parameters, owned.
struct OwnedNorm {
  std::unique_ptr<Vector> weight, bias;
  float eps = 1e-5f;
  Norm view() const { return {weight.get(), bias.get(), eps}; }
};

// What a matrix is kept as where `asked` was asked for: with four bits, the head and the LoRA matrices, which
// are few and lose most by it, keep eight; with e4m3 the LoRA matrices, too small to gain, stay bf16.
WeightFormat weight_format(std::string_view name, WeightFormat asked);

// Hands a checkpoint's tensors to a backend.
class RwkvLoader {
 public:
  RwkvLoader(const Checkpoint& official, const RwkvShape& shape, Backend& backend, NumericMode mode)
      : official_(official), shape_(shape), backend_(backend), mode_(mode) {}
  const RwkvShape& shape() const { return shape_; }
  Tensor::Type product_type() const { return Ops::product_type(mode_.activations); }
  ActivationFormat activations() const { return mode_.activations; }
  bool has(const std::string& name) const { return official_.find(name) != nullptr; }

  std::unique_ptr<Weight> matrix(const std::string& name) const;     // stored [out, in]
  std::unique_ptr<Weight> lora(const std::string& name) const;       // stored [in, out]
  std::unique_ptr<Weight> matrix(const StoredTensor& tensor) const;  // as it lies
  std::vector<float> values(const std::string& name) const;
  std::unique_ptr<Vector> vector(const std::string& name) const;
  std::unique_ptr<Vector> vector(std::span<const float> values) const;
  OwnedNorm norm(const std::string& prefix, float eps = 1e-5f) const;  // prefix.weight, prefix.bias
  const StoredTensor& tensor(const std::string& name) const { return official_.at(name); }

 private:
  const Checkpoint& official_;
  const RwkvShape& shape_;
  Backend& backend_;
  NumericMode mode_;
};

inline constexpr float kGroupNormEps = 64e-5f;  // 1e-5 * 8^2, whatever the head size (rwkv.md §0)

std::unique_ptr<RwkvNet> load_rwkv4(const RwkvLoader& loader);
std::unique_ptr<RwkvNet> load_rwkv5(const RwkvLoader& loader);  // 5.0, 5.1, 5.2
std::unique_ptr<RwkvNet> load_rwkv6(const RwkvLoader& loader);
std::unique_ptr<RwkvNet> load_rwkv7(const RwkvLoader& loader);

// Parts that versions share.

// The channel mixing of RWKV-4, 5 and 6 (rwkv.md §3.3, §5.3): x += sigmoid(R xr) * V relu2(K xk).
class GatedChannelMix {
 public:
  // `lerp`: the names and sense of the mix vectors: time_maa_* (h + d m) or time_mix_* (h m + h_prev (1 -
  // m)).
  GatedChannelMix(const RwkvLoader& loader, const std::string& block, bool lerp);
  void run(Ops& ops, const Chunk& chunk, StateView shift) const;

 private:
  Tensor::Type type_;
  ActivationFormat activations_;
  std::size_t ffn_;
  OwnedNorm norm_;
  std::unique_ptr<Vector> mix_k_, mix_r_;
  std::unique_ptr<Weight> key_, receptance_, value_;
};

// Writes a state-tuned file's initial S (time_state, stored [H][N value][N key]) into S[H][N key][N value];
// nothing if `tuned` is empty.
void write_tuned_state(std::span<const float> tuned, const RwkvShape& shape, std::span<float> state);

// 1 - m: from v4/v5's "h m + h_prev (1 - m)" to the lerp form "h + (h_prev - h) m".
std::vector<float> complement(std::vector<float> mix);

}  // namespace deciban
