// Mamba-1 (arXiv 2312.00752) as a plugin: plugin:mamba,model=FOLDER with the layout of Hugging Face's
// MambaForCausalLM, or plugin:mamba,shape=mamba-130m with random weights.
//
// A block is x += out_proj(scan(silu(conv(in_proj(rms(x)))))), where the scan's step, B and C are made from
// its own input (plugins/mixing_kernels.h).  What a sequence remembers does not grow: conv_kernel - 1 rows
// and state_size values a channel.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "plugins/mixing_kernels.h"
#include "plugins/plugin_export.h"
#include "plugins/sequence_model.h"
#include "plugins/sequence_weights.h"

namespace deciban {
namespace {

constexpr NamedShape kShapes[] = {
    {"mamba-130m", R"({"model_type":"mamba","hidden_size":768,"num_hidden_layers":24,"vocab_size":50280,)"
                   R"("intermediate_size":1536,"state_size":16,"conv_kernel":4,"time_step_rank":48})"},
    {"mamba-370m", R"({"model_type":"mamba","hidden_size":1024,"num_hidden_layers":48,"vocab_size":50280,)"
                   R"("intermediate_size":2048,"state_size":16,"conv_kernel":4,"time_step_rank":64})"},
    {"mamba-790m", R"({"model_type":"mamba","hidden_size":1536,"num_hidden_layers":48,"vocab_size":50280,)"
                   R"("intermediate_size":3072,"state_size":16,"conv_kernel":4,"time_step_rank":96})"},
    {"mamba-1.4b", R"({"model_type":"mamba","hidden_size":2048,"num_hidden_layers":48,"vocab_size":50280,)"
                   R"("intermediate_size":4096,"state_size":16,"conv_kernel":4,"time_step_rank":128})"},
    {"mamba-2.8b", R"({"model_type":"mamba","hidden_size":2560,"num_hidden_layers":64,"vocab_size":50280,)"
                   R"("intermediate_size":5120,"state_size":16,"conv_kernel":4,"time_step_rank":160})"},
};

struct MambaShape {
  std::size_t width = 0, layers = 0, vocabulary = 0, inner = 0, states = 0, taps = 0, rank = 0;
  bool bias = false, conv_bias = true;
  float eps = 1e-5f;
  std::size_t layer_floats() const { return (taps - 1 + states) * inner; }  // of one sequence's state
};

MambaShape read_shape(const SequenceWeights& weights) {
  if (const std::string type = weights.word("model_type", "mamba"); type != "mamba") {
    throw std::invalid_argument(fmt::format(
        "config.json says model_type \"{}\"; this plugin computes \"mamba\" (Mamba-1) only", type));
  }
  if (const std::string act = weights.word("hidden_act", "silu"); act != "silu" && act != "swish")
    throw std::invalid_argument(fmt::format("hidden_act \"{}\" of config.json is not silu", act));
  MambaShape s;
  s.width = weights.number("hidden_size");
  s.layers = weights.number("num_hidden_layers");
  s.vocabulary = weights.number("vocab_size");
  s.inner = weights.number("intermediate_size", weights.number("expand", 2) * s.width);
  s.states = weights.number("state_size");
  s.taps = weights.number("conv_kernel");
  s.rank = weights.number("time_step_rank", (s.width + 15) / 16);
  s.bias = weights.flag("use_bias", false);
  s.conv_bias = weights.flag("use_conv_bias", true);
  s.eps = static_cast<float>(weights.real("layer_norm_epsilon", 1e-5));
  if (s.inner == 0 || s.rank == 0)
    throw std::runtime_error("intermediate_size or time_step_rank of config.json is 0");
  return s;
}

// Rows [first, first + count) of a matrix, as f32 of our own.
StoredTensor matrix_rows(const StoredTensor& matrix, std::size_t first, std::size_t count) {
  const std::size_t columns = matrix.shape[1];
  std::vector<float> values(count * columns);
  matrix.read(first * columns, values.size(), values.data());
  return owned_tensor(matrix.name, {count, columns}, std::move(values));
}

// [rows][columns] to [columns][rows].
std::vector<float> turned(const std::vector<float>& values, std::size_t columns) {
  const std::size_t rows = values.size() / columns;
  std::vector<float> out(values.size());
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c) out[c * rows + r] = values[r * columns + c];
  return out;
}

struct MambaLayer {
  std::unique_ptr<Vector> norm, in_bias, step_bias, out_bias;
  std::unique_ptr<Weight> in, step_low, bc, step, out;
  std::vector<float> conv, conv_bias, a, d;  // [taps][inner], [inner], [states][inner], [inner]
};

MambaLayer load_layer(SequenceWeights& w, const MambaShape& s, const std::string& prefix, Backend& backend,
                      NumericMode mode) {
  MambaLayer l;
  const std::string m = prefix + "mixer.";
  const auto optional = [&](bool there, const std::string& name, std::size_t size) {
    return there ? backend.vector(w.vector(name, {size})) : nullptr;
  };
  l.norm = backend.vector(w.vector(prefix + "norm.weight", {s.width}, 1, 0.1));
  l.in = backend.matrix(w.matrix(m + "in_proj.weight", {2 * s.inner, s.width}), mode);
  l.in_bias = optional(s.bias, m + "in_proj.bias", 2 * s.inner);
  l.conv = turned(w.vector(m + "conv1d.weight", {s.inner, 1, s.taps}, 0, 0.5), s.taps);
  if (s.conv_bias) l.conv_bias = w.vector(m + "conv1d.bias", {s.inner});
  const StoredTensor x_proj = w.matrix(m + "x_proj.weight", {s.rank + 2 * s.states, s.inner});
  l.step_low = backend.matrix(matrix_rows(x_proj, 0, s.rank), mode);
  l.bc = backend.matrix(matrix_rows(x_proj, s.rank, 2 * s.states), mode);
  l.step = backend.matrix(w.matrix(m + "dt_proj.weight", {s.inner, s.rank}, 0.5), mode);
  // Random: steps spread over 0.001 … 0.1, as in training's initial weights.
  std::vector<float> bias = w.vector(m + "dt_proj.bias", {s.inner}, 0, 0);
  std::vector<float> decay = w.vector(m + "A_log", {s.inner, s.states}, 0, 0);
  if (w.random()) {
    for (std::size_t i = 0; i < s.inner; ++i) {
      const double share = static_cast<double>(i) / static_cast<double>(s.inner);
      bias[i] = static_cast<float>(std::log(std::expm1(0.001 * std::pow(100.0, share))));
      for (std::size_t n = 0; n < s.states; ++n)
        decay[i * s.states + n] = std::log(static_cast<float>(n + 1));
    }
  }
  for (float& value : decay) value = -std::exp(value);
  l.step_bias = backend.vector(bias);
  l.a = turned(decay, s.states);
  l.d = w.vector(m + "D", {s.inner}, 1, 0.1);
  l.out = backend.matrix(w.matrix(m + "out_proj.weight", {s.width, s.inner}, 0.5), mode);
  l.out_bias = optional(s.bias, m + "out_proj.bias", s.width);
  return l;
}

class MambaState final : public SequenceState {
 public:
  MambaState(const MambaShape& shape, std::size_t slots) : floats_(shape.layers * shape.layer_floats()) {
    slots_.assign(slots, std::vector<float>(floats_));
  }
  void reset(std::size_t slot) override { std::fill(slots_[slot].begin(), slots_[slot].end(), 0.0f); }
  void copy(std::size_t from, std::size_t to) override { slots_[to] = slots_[from]; }
  std::uint64_t bytes() const override { return slots_.size() * floats_ * sizeof(float); }
  float* slot(std::size_t i) { return slots_[i].data(); }

 private:
  std::size_t floats_;
  std::vector<std::vector<float>> slots_;  // per layer: convolution's rows, then h
};

class MambaNet final : public SequenceNet {
 public:
  MambaNet(const MambaShape& shape, std::vector<MambaLayer> layers, NumericMode mode, const std::string& isa)
      : shape_(shape), layers_(std::move(layers)), mode_(mode), kernels_(mixing_kernels(isa)) {}

  std::unique_ptr<SequenceState> open_state(std::size_t slots) const override {
    return std::make_unique<MambaState>(shape_, slots);
  }

  std::uint64_t run(Ops& ops, int threads, const Tensor& x, Layout layout,
                    SequenceState& state) const override {
    for (std::size_t i = 0; i < layers_.size(); ++i)
      layer(ops, threads, x, layout, layers_[i], i, static_cast<MambaState&>(state));
    return 0;
  }

  std::uint64_t bytes() const override {
    const std::size_t floats = (shape_.taps + 2 + shape_.states) * shape_.inner;
    return layers_.size() * floats * sizeof(float);
  }

 private:
  void layer(Ops& ops, int threads, const Tensor& x, Layout layout, const MambaLayer& l, std::size_t index,
             MambaState& state) const {
    const std::size_t mark = ops.mark(), inner = shape_.inner;
    const Tensor::Type type = Ops::product_type(mode_.activations);
    const Tensor normed = ops.allocate(x.rows, shape_.width, type);
    ops.norm(x, Norm{l.norm.get(), nullptr, shape_.eps, Norm::Kind::rms}, normed);
    const Tensor xz = ops.allocate(x.rows, 2 * inner);
    Epilogue epilogue;
    epilogue.bias = l.in_bias.get();
    ops.linear(*l.in, normed, xz, epilogue);

    const Tensor u = allocate_input(ops, x.rows, inner), y = allocate_input(ops, x.rows, inner);
    const auto slot = [&](const Piece& piece) {
      return state.slot(piece.slot) + index * shape_.layer_floats();
    };
    constexpr std::size_t kGrain = 64;  // channels
    in_parallel(threads_for(threads, x.rows), inner, kGrain, [&](std::size_t first, std::size_t last) {
      for (const Piece& p : layout) {
        kernels_.short_convolution({xz.f32() + p.row * xz.stride, xz.stride, p.count, inner, shape_.taps,
                                    l.conv.data(), l.conv_bias.empty() ? nullptr : l.conv_bias.data(), true,
                                    slot(p), u.f32() + p.row * u.stride, u.stride},
                                   first, last);
      }
    });
    const Tensor u_in = as_product_input(ops, u, type);
    const Tensor low = ops.allocate(x.rows, shape_.rank, type), bc = ops.allocate(x.rows, 2 * shape_.states);
    const Tensor step = ops.allocate(x.rows, inner);
    ops.linear(*l.step_low, u_in, low);
    ops.linear(*l.bc, u_in, bc);
    epilogue.bias = l.step_bias.get();
    ops.linear(*l.step, low, step, epilogue);
    in_parallel(threads_for(threads, x.rows), inner, kGrain, [&](std::size_t first, std::size_t last) {
      for (const Piece& p : layout) {
        SelectiveScan scan{p.count, inner, shape_.states};
        scan.x = u.f32() + p.row * u.stride;
        scan.step = step.f32() + p.row * step.stride;
        scan.z = xz.f32() + p.row * xz.stride + inner;
        scan.b = bc.f32() + p.row * bc.stride;
        scan.c = scan.b + shape_.states;
        scan.x_stride = u.stride, scan.step_stride = step.stride;
        scan.z_stride = xz.stride, scan.bc_stride = bc.stride;
        scan.a = l.a.data(), scan.d = l.d.data();
        scan.h = slot(p) + (shape_.taps - 1) * inner;
        scan.y = y.f32() + p.row * y.stride, scan.y_stride = y.stride;
        kernels_.selective_scan(scan, first, last);
      }
    });
    epilogue.bias = l.out_bias.get();
    epilogue.combine = Epilogue::Combine::add;
    ops.linear(*l.out, as_product_input(ops, y, type), x, epilogue);
    ops.release(mark);
  }

  // Starting threads for a few rows costs more than it saves.
  static int threads_for(int threads, std::size_t rows) { return rows < 32 ? 1 : threads; }

  MambaShape shape_;
  std::vector<MambaLayer> layers_;
  NumericMode mode_;
  const MixingKernels& kernels_;
};

SequenceWeights named(const PluginOptions& options) {
  SequenceWeights weights(options, kShapes, {{"layers", "num_hidden_layers"}, {"vocab", "vocab_size"}});
  return weights;
}

void check_mamba(const PluginOptions& options) {
  const auto backend = sequence_backend(options);
  SequenceWeights weights = named(options);
  const MambaShape shape = read_shape(weights);
  weights.tokenizer(shape.vocabulary);
  (void)weights.info(*backend);
  if (!weights.random()) weights.matrix("backbone.embeddings.weight", {shape.vocabulary, shape.width});
}

std::unique_ptr<LanguageModel> open_mamba(const PluginOptions& options) {
  SequenceParts p;
  p.backend = sequence_backend(options);
  SequenceWeights weights = named(options);
  const MambaShape shape = read_shape(weights);
  p.tokenizer = weights.tokenizer(shape.vocabulary);
  p.info = weights.info(*p.backend);
  p.mode = numeric_mode(p.info.format);
  const StoredTensor embedding =
      weights.matrix("backbone.embeddings.weight", {shape.vocabulary, shape.width});
  p.embedding = p.backend->table(embedding);
  std::vector<MambaLayer> layers;
  for (std::size_t i = 0; i < shape.layers; ++i) {
    layers.push_back(load_layer(weights, shape, fmt::format("backbone.layers.{}.", i), *p.backend, p.mode));
  }
  p.norm_weight = p.backend->vector(weights.vector("backbone.norm_f.weight", {shape.width}, 1, 0.1));
  p.norm = {p.norm_weight.get(), nullptr, shape.eps, Norm::Kind::rms};
  const bool tied =
      weights.random() || (weights.flag("tie_word_embeddings", true) && !weights.has("lm_head.weight"));
  p.head = p.backend->matrix(
      tied ? embedding : weights.matrix("lm_head.weight", {shape.vocabulary, shape.width}), p.mode);

  p.info.family = "mamba";
  p.info.tokenizer = p.tokenizer->name();
  p.info.tokenizer_digest = p.tokenizer->digest();
  p.info.numerics_version = 1;
  p.info.parameters = weights.parameters();
  p.info.layers = shape.layers;
  p.info.width = shape.width;
  p.info.vocabulary = shape.vocabulary;
  p.info.state_bytes = shape.layers * shape.layer_floats() * sizeof(float);
  p.info.constant_state = true;
  p.info.start_token = p.tokenizer->start_token().value_or(0);
  p.chunk_rows = options.model.chunk_rows;
  p.net = std::make_unique<MambaNet>(shape, std::move(layers), p.mode, p.info.kernels);
  return sequence_model(std::move(p));
}

}  // namespace
}  // namespace deciban

DECIBAN_PLUGIN(deciban::open_mamba, deciban::check_mamba)
