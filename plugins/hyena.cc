// Hyena (arXiv 2302.10866) of order 2 as a plugin: plugin:hyena,model=FOLDER with the layout of the published
// HyenaDNA models (safari's own names), or plugin:hyena,shape=hyena-small-153m with random weights.
//
// A block is x += out(x0 * (k * (x1 v) + bias x1 v)), with x0, x1, v from a projection and a short
// convolution, then an MLP; k is a filter as long as the context, made by a small MLP from positions. Reading
// many tokens convolves by FFT, O(T log T).  Decoding is exact and O(T) a token: the products x1 v of all
// tokens read are kept, d floats a layer and token, and each new output is their sum with the filter.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <numbers>
#include <stdexcept>
#include <utility>

#include "plugins/mixing_kernels.h"
#include "plugins/plugin_export.h"
#include "plugins/sequence_model.h"
#include "plugins/sequence_weights.h"

namespace deciban {
namespace {

constexpr NamedShape kShapes[] = {
    {"hyena-small-153m",
     R"({"d_model":864,"n_layer":18,"d_inner":1728,"vocab_size":50257,"max_seq_len":2048,)"
     R"("pad_vocab_size_multiple":8,"emb_dim":33,"filter_order":64,"activation_freq":14})"},
    {"hyena-355m", R"({"d_model":1024,"n_layer":36,"d_inner":2048,"vocab_size":50257,"max_seq_len":2048,)"
                   R"("pad_vocab_size_multiple":8,"emb_dim":33,"filter_order":64,"activation_freq":14})"},
    {"hyena-1.3b", R"({"d_model":2048,"n_layer":36,"d_inner":4096,"vocab_size":50257,"max_seq_len":2048,)"
                   R"("pad_vocab_size_multiple":8,"emb_dim":33,"filter_order":64,"activation_freq":14})"},
    {"hyenadna-small-32k",
     R"({"d_model":256,"n_layer":4,"d_inner":1024,"vocab_size":12,"max_seq_len":32770,)"
     R"("pad_vocab_size_multiple":8,"emb_dim":5,"filter_order":64,"activation_freq":10})"},
    {"hyenadna-large-1m",
     R"({"d_model":256,"n_layer":8,"d_inner":1024,"vocab_size":12,"max_seq_len":1000002,)"
     R"("pad_vocab_size_multiple":8,"emb_dim":5,"filter_order":64,"activation_freq":10})"},
};
constexpr std::size_t kTileRows = 1024;  // of what is not as long as the sequence

struct HyenaShape {
  std::size_t width = 0, layers = 0, vocabulary = 0, inner = 0, length = 0;
  std::size_t taps = 0, positions = 0, filter_order = 0, inner_mlps = 0;
  double frequency = 1;
  float eps = 1e-5f;
};

HyenaShape read_shape(const SequenceWeights& w) {
  HyenaShape s;
  if (const std::size_t order = w.number("hyena_order", w.number("order", 2)); order != 2)
    throw std::invalid_argument(fmt::format("Hyena of order {}: this plugin computes order 2 only", order));
  s.width = w.number("d_model");
  s.layers = w.number("n_layer");
  s.inner = w.number("d_inner", 4 * s.width);
  s.length = w.number("max_seq_len", w.number("l_max", 0));
  s.taps = w.number("short_filter_order", 3);
  s.positions = w.number("emb_dim", 5);
  s.filter_order = w.number("filter_order", 64);
  s.inner_mlps = w.number("num_inner_mlps", 2);
  s.frequency = w.real("activation_freq", w.real("w", 1));
  s.eps = static_cast<float>(w.real("layer_norm_epsilon", 1e-5));
  const std::size_t multiple = std::max<std::size_t>(w.number("pad_vocab_size_multiple", 1), 1);
  s.vocabulary = (w.number("vocab_size") + multiple - 1) / multiple * multiple;
  if (s.length < 2 || s.inner == 0 || s.taps == 0 || s.filter_order == 0 || s.inner_mlps > 64)
    throw std::runtime_error(
        "max_seq_len, d_inner, short_filter_order, filter_order or num_inner_mlps of config.json makes no "
        "model");
  if (s.positions < 3 || s.positions % 2 == 0)
    throw std::runtime_error(
        fmt::format("emb_dim of config.json is {}, not odd and at least 3", s.positions));
  return s;
}

// The filter of one layer (§3.3 and appendix of the paper), made up to where it is needed and kept.
class Filter {
 public:
  Filter(SequenceWeights& w, const HyenaShape& s, const std::string& prefix, Backend& backend) : shape_(s) {
    constexpr NumericMode kExact{};
    std::size_t inputs = s.positions;
    for (std::size_t i = 0; i <= s.inner_mlps; ++i) {
      const std::string name = fmt::format("{}implicit_filter.{}.", prefix, 2 * i);
      weights_.push_back(backend.matrix(w.matrix(name + "weight", {s.filter_order, inputs}), kExact));
      biases_.push_back(backend.vector(w.vector(name + "bias", {s.filter_order}, 0, 0.3)));
      inputs = s.filter_order;
    }
    last_ = backend.matrix(
        w.matrix(fmt::format("{}implicit_filter.{}.weight", prefix, 2 * s.inner_mlps + 2), {s.width, inputs}),
        kExact);
    // The sine's frequencies are one tensor under several names, of which a file may have any.
    frequencies_.assign(s.filter_order, static_cast<float>(s.frequency));
    for (std::size_t i = 0; i <= s.inner_mlps; ++i) {
      const std::string name = fmt::format("{}implicit_filter.{}.freq", prefix, 2 * i + 1);
      if (!w.has(name)) continue;
      frequencies_ = w.vector(name, {1, s.filter_order});
      break;
    }
    if (w.has(prefix + "pos_emb.z")) given_ = w.vector(prefix + "pos_emb.z", {1, s.length, s.positions});
    const double slow = std::log(0.01) / 1.5, fast = std::log(0.01) / 0.3;
    if (w.has(prefix + "modulation.deltas")) {
      decays_ = w.vector(prefix + "modulation.deltas", {1, 1, s.width});
    } else {
      for (std::size_t c = 0; c < s.width; ++c)
        decays_.push_back(
            static_cast<float>(slow + (fast - slow) * static_cast<double>(c) /
                                          static_cast<double>(std::max<std::size_t>(s.width - 1, 1))));
    }
  }

  // At least `length` rows of [width]; lives as long as the pointer.
  std::shared_ptr<const std::vector<float>> values(Ops& ops, std::size_t length) const {
    const std::lock_guard lock(mutex_);
    if (values_->size() < length * shape_.width) {
      std::size_t rows = 256;
      while (rows < length) rows *= 2;
      values_ = make(ops, std::min(rows, shape_.length));
      bytes_ = values_->size() * sizeof(float);
    }
    return values_;
  }
  std::uint64_t bytes() const { return bytes_ + given_.size() * sizeof(float); }

 private:
  std::shared_ptr<const std::vector<float>> make(Ops& ops, std::size_t rows) const {
    auto out = std::make_shared<std::vector<float>>(rows * shape_.width);
    for (std::size_t first = 0; first < rows; first += kTileRows) {
      const std::size_t mark = ops.mark(), count = std::min(kTileRows, rows - first);
      Tensor h = allocate_input(ops, count, shape_.positions);
      for (std::size_t i = 0; i < count; ++i) position(first + i, h.f32() + i * h.stride);
      for (std::size_t i = 0; i < weights_.size(); ++i) {
        const Tensor next = allocate_input(ops, count, shape_.filter_order);
        Epilogue epilogue;
        epilogue.bias = biases_[i].get();
        ops.linear(*weights_[i], h, next, epilogue);
        for (std::size_t r = 0; r < count; ++r) {
          float* row = next.f32() + r * next.stride;
          for (std::size_t c = 0; c < shape_.filter_order; ++c) row[c] = std::sin(frequencies_[c] * row[c]);
        }
        h = next;
      }
      const Tensor k = ops.allocate(count, shape_.width);
      ops.linear(*last_, h, k);
      constexpr float kShift = 0.05f;
      for (std::size_t r = 0; r < count; ++r) {
        const float t = static_cast<float>(first + r) / static_cast<float>(shape_.length - 1);
        float* row = out->data() + (first + r) * shape_.width;
        for (std::size_t c = 0; c < shape_.width; ++c)
          row[c] = k.f32()[r * k.stride + c] * (std::exp(-t * std::abs(decays_[c])) + kShift);
      }
      ops.release(mark);
    }
    return out;
  }

  // t, then cosines and sines of (emb_dim - 1) / 2 frequencies from 1e-4 on.
  void position(std::size_t i, float* out) const {
    if (!given_.empty()) {
      std::copy_n(given_.data() + i * shape_.positions, shape_.positions, out);
      return;
    }
    const std::size_t bands = (shape_.positions - 1) / 2;
    const double length = static_cast<double>(shape_.length), t = static_cast<double>(i);
    out[0] = static_cast<float>(t / (length - 1));
    for (std::size_t b = 0; b < bands; ++b) {
      const double frequency = bands == 1
                                   ? 1e-4
                                   : 1e-4 + (static_cast<double>(bands) - 1 - 1e-4) * static_cast<double>(b) /
                                                static_cast<double>(bands - 1);
      const double angle = frequency * 2 * std::numbers::pi * t / length;
      out[1 + b] = static_cast<float>(std::cos(angle));
      out[1 + bands + b] = static_cast<float>(-std::sin(angle));
    }
  }

  HyenaShape shape_;
  std::vector<std::unique_ptr<Weight>> weights_;
  std::vector<std::unique_ptr<Vector>> biases_;
  std::unique_ptr<Weight> last_;
  std::vector<float> frequencies_, given_, decays_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const std::vector<float>> values_ = std::make_shared<const std::vector<float>>();
  mutable std::atomic<std::uint64_t> bytes_{0};
};

struct Affine {
  std::unique_ptr<Weight> weight;
  std::unique_ptr<Vector> bias;
  void run(Ops& ops, const Tensor& x, Tensor y, Epilogue epilogue = {}) const {
    epilogue.bias = bias.get();
    ops.linear(*weight, x, y, epilogue);
  }
};
struct LayerNorm {
  std::unique_ptr<Vector> weight, bias;
  Norm view(float eps) const { return {weight.get(), bias.get(), eps}; }
};

struct HyenaLayer {
  LayerNorm norm1, norm2;
  Affine in, out, fc1, fc2;
  std::vector<float> taps, taps_bias, bias;  // [taps][3 width], [3 width], [width]
  std::unique_ptr<Filter> filter;
};

LayerNorm load_norm(SequenceWeights& w, const std::string& name, std::size_t width, Backend& backend) {
  return {backend.vector(w.vector(name + ".weight", {width}, 1, 0.1)),
          backend.vector(w.vector(name + ".bias", {width}, 0, 0.05))};
}

HyenaLayer load_layer(SequenceWeights& w, const HyenaShape& s, const std::string& b, Backend& backend,
                      NumericMode mode) {
  HyenaLayer l;
  const auto affine = [&](const std::string& name, std::size_t outputs, std::size_t inputs, double gain) {
    return Affine{backend.matrix(w.matrix(b + name + ".weight", {outputs, inputs}, gain), mode),
                  backend.vector(w.vector(b + name + ".bias", {outputs}, 0, 0.05))};
  };
  l.norm1 = load_norm(w, b + "norm1", s.width, backend);
  l.in = affine("mixer.in_proj", 3 * s.width, s.width, 1);
  const std::vector<float> short_filter =
      w.vector(b + "mixer.short_filter.weight", {3 * s.width, 1, s.taps}, 0, 0.5);
  l.taps.resize(short_filter.size());
  for (std::size_t c = 0; c < 3 * s.width; ++c)
    for (std::size_t j = 0; j < s.taps; ++j) l.taps[j * 3 * s.width + c] = short_filter[c * s.taps + j];
  l.taps_bias = w.vector(b + "mixer.short_filter.bias", {3 * s.width});
  l.bias = w.vector(b + "mixer.filter_fn.bias", {s.width}, 0, 1);
  l.filter = std::make_unique<Filter>(w, s, b + "mixer.filter_fn.", backend);
  l.out = affine("mixer.out_proj", s.width, s.width, 0.5);
  l.norm2 = load_norm(w, b + "norm2", s.width, backend);
  l.fc1 = affine("mlp.fc1", s.inner, s.width, 1);
  l.fc2 = affine("mlp.fc2", s.width, s.inner, 0.5);
  return l;
}

class HyenaState final : public SequenceState {
 public:
  struct Layer {
    std::vector<float> before;   // [taps - 1][3 width]: the short convolution's
    std::vector<float> history;  // [tokens read][width]: x1 * v
  };
  HyenaState(const HyenaShape& s, std::size_t slots)
      : slots_(slots, std::vector<Layer>(s.layers, {std::vector<float>((s.taps - 1) * 3 * s.width), {}})) {
    account();
  }
  void reset(std::size_t slot) override {
    for (Layer& layer : slots_[slot]) {
      std::fill(layer.before.begin(), layer.before.end(), 0.0f);
      layer.history.clear();
    }
    account();
  }
  void copy(std::size_t from, std::size_t to) override {
    slots_[to] = slots_[from];
    account();
  }
  std::uint64_t bytes() const override { return bytes_; }
  Layer& layer(std::size_t slot, std::size_t i) { return slots_[slot][i]; }
  void account() {
    std::uint64_t floats = 0;
    for (const auto& slot : slots_)
      for (const Layer& layer : slot) floats += layer.before.size() + layer.history.size();
    bytes_ = floats * sizeof(float);
  }

 private:
  std::vector<std::vector<Layer>> slots_;
  std::atomic<std::uint64_t> bytes_{0};
};

class HyenaNet final : public SequenceNet {
 public:
  HyenaNet(const HyenaShape& shape, std::vector<HyenaLayer> layers, NumericMode mode, const std::string& isa)
      : shape_(shape), layers_(std::move(layers)), mode_(mode), kernels_(mixing_kernels(isa)) {}

  std::unique_ptr<SequenceState> open_state(std::size_t slots) const override {
    return std::make_unique<HyenaState>(shape_, slots);
  }
  std::uint64_t bytes() const override {
    std::uint64_t total = 0;
    for (const HyenaLayer& l : layers_)
      total += l.filter->bytes() + (l.taps.size() + l.taps_bias.size() + l.bias.size()) * sizeof(float);
    return total;
  }

  std::uint64_t run(Ops& ops, int threads, const Tensor& x, Layout layout,
                    SequenceState& state) const override {
    auto& own = static_cast<HyenaState&>(state);
    std::uint64_t scratch = 0;
    for (std::size_t i = 0; i < layers_.size(); ++i)
      scratch = std::max(scratch, layer(ops, threads, x, layout, i, own));
    own.account();
    return scratch;
  }

 private:
  std::uint64_t layer(Ops& ops, int threads, const Tensor& x, Layout layout, std::size_t index,
                      HyenaState& state) const {
    const HyenaLayer& l = layers_[index];
    const std::size_t mark = ops.mark(), width = shape_.width;
    const Tensor gate = ops.allocate(x.rows, width), mixed = allocate_input(ops, x.rows, width);
    for (const Piece& p : layout) {
      auto& history = state.layer(p.slot, index).history;
      history.resize(history.size() + p.count * width);
    }
    for (std::size_t row = 0; row < x.rows; row += kTileRows)
      project(ops, threads, tensor_rows(x, row, std::min(kTileRows, x.rows - row)), row, layout, index, gate,
              state);

    std::atomic<std::uint64_t> scratch{0};
    for (const Piece& p : layout) {
      const auto& history = state.layer(p.slot, index).history;
      const std::size_t total = history.size() / width, from = total - p.count;
      const auto kernel = l.filter->values(ops, total);
      const Tensor y = tensor_rows(mixed, p.row, p.count), g = tensor_rows(gate, p.row, p.count);
      constexpr std::size_t kGrain = 64;  // channels
      // Starting threads costs more than it saves where few outputs and a short past are wanted.
      in_parallel(total * p.count < 4096 ? 1 : threads, width, kGrain,
                  [&](std::size_t first, std::size_t last) {
                    scratch += kernels_.long_convolution(
                        {history.data(), kernel->data(), total, from, width, y.f32(), y.stride}, first, last);
                    for (std::size_t r = 0; r < p.count; ++r) {
                      const float *u = history.data() + (from + r) * width, *x0 = g.f32() + r * g.stride;
                      float* out = y.f32() + r * y.stride;
                      for (std::size_t c = first; c < last; ++c) out[c] = (out[c] + l.bias[c] * u[c]) * x0[c];
                    }
                  });
    }
    for (std::size_t row = 0; row < x.rows; row += kTileRows) {
      const std::size_t count = std::min(kTileRows, x.rows - row);
      finish(ops, l, tensor_rows(mixed, row, count), tensor_rows(x, row, count));
    }
    ops.release(mark);
    return scratch;
  }

  // Rows [row, row + x.rows) of the chunk: norm, projection, short convolution; x0 goes to `gate` and x1 * v
  // to the sequences' histories.
  void project(Ops& ops, int threads, const Tensor& x, std::size_t row, Layout layout, std::size_t index,
               const Tensor& gate, HyenaState& state) const {
    const HyenaLayer& l = layers_[index];
    const std::size_t mark = ops.mark(), width = shape_.width;
    const Tensor normed = ops.allocate(x.rows, width, Ops::product_type(mode_.activations));
    ops.norm(x, l.norm1.view(1e-5f), normed);
    const Tensor z = ops.allocate(x.rows, 3 * width), u = ops.allocate(x.rows, 3 * width);
    l.in.run(ops, normed, z);
    for (const Piece& p : layout) {
      const std::size_t first_row = std::max(p.row, row), last_row = std::min(p.row + p.count, row + x.rows);
      if (first_row >= last_row) continue;
      auto& own = state.layer(p.slot, index);
      const std::size_t at = first_row - row, count = last_row - first_row;
      in_parallel(count < 64 ? 1 : threads, 3 * width, 64, [&](std::size_t first, std::size_t last) {
        kernels_.short_convolution(
            {z.f32() + at * z.stride, z.stride, count, 3 * width, shape_.taps, l.taps.data(),
             l.taps_bias.data(), false, own.before.data(), u.f32() + at * u.stride, u.stride},
            first, last);
      });
      float* history = own.history.data() + own.history.size() - (p.row + p.count - first_row) * width;
      for (std::size_t r = 0; r < count; ++r) {
        const float* values = u.f32() + (at + r) * u.stride;
        std::copy_n(values, width, gate.f32() + (first_row + r) * gate.stride);
        for (std::size_t c = 0; c < width; ++c)
          history[r * width + c] = values[width + c] * values[2 * width + c];
      }
    }
    ops.release(mark);
  }

  void finish(Ops& ops, const HyenaLayer& l, const Tensor& mixed, const Tensor& x) const {
    const std::size_t mark = ops.mark();
    const Tensor::Type type = Ops::product_type(mode_.activations);
    Epilogue add, gelu;
    add.combine = Epilogue::Combine::add;
    gelu.act = Epilogue::Act::gelu_tanh;
    l.out.run(ops, as_product_input(ops, mixed, type), x, add);
    const Tensor normed = ops.allocate(x.rows, shape_.width, type),
                 hidden = ops.allocate(x.rows, shape_.inner, type);
    ops.norm(x, l.norm2.view(1e-5f), normed);
    l.fc1.run(ops, normed, hidden, gelu);
    l.fc2.run(ops, hidden, x, add);
    ops.release(mark);
  }

  HyenaShape shape_;
  std::vector<HyenaLayer> layers_;
  NumericMode mode_;
  const MixingKernels& kernels_;
};

SequenceWeights named(const PluginOptions& options) {
  SequenceWeights weights(options, kShapes,
                          {{"layers", "n_layer"}, {"vocab", "vocab_size"}, {"context", "max_seq_len"}});
  weights.set_prefix("hyena.");
  return weights;
}

void check_hyena(const PluginOptions& options) {
  const auto backend = sequence_backend(options);
  SequenceWeights weights = named(options);
  const HyenaShape shape = read_shape(weights);
  weights.tokenizer(shape.vocabulary);
  (void)weights.info(*backend);
  if (!weights.random())
    weights.matrix("backbone.embeddings.word_embeddings.weight", {shape.vocabulary, shape.width});
}

std::unique_ptr<LanguageModel> open_hyena(const PluginOptions& options) {
  SequenceParts p;
  p.backend = sequence_backend(options);
  SequenceWeights weights = named(options);
  const HyenaShape shape = read_shape(weights);
  p.tokenizer = weights.tokenizer(shape.vocabulary);
  p.info = weights.info(*p.backend);
  p.mode = numeric_mode(p.info.format);
  const StoredTensor embedding =
      weights.matrix("backbone.embeddings.word_embeddings.weight", {shape.vocabulary, shape.width});
  p.embedding = p.backend->table(embedding);
  std::vector<HyenaLayer> layers;
  for (std::size_t i = 0; i < shape.layers; ++i)
    layers.push_back(load_layer(weights, shape, fmt::format("backbone.layers.{}.", i), *p.backend, p.mode));
  LayerNorm last = load_norm(weights, "backbone.ln_f", shape.width, *p.backend);
  p.norm = last.view(shape.eps);
  p.norm_weight = std::move(last.weight);
  p.norm_bias = std::move(last.bias);
  p.head = p.backend->matrix(weights.has("lm_head.weight")
                                 ? weights.matrix("lm_head.weight", {shape.vocabulary, shape.width})
                                 : embedding,
                             p.mode);
  p.info.family = "hyena";
  p.info.tokenizer = p.tokenizer->name();
  p.info.tokenizer_digest = p.tokenizer->digest();
  p.info.numerics_version = 1;
  p.info.parameters = weights.parameters();
  p.info.layers = shape.layers;
  p.info.width = shape.width;
  p.info.vocabulary = shape.vocabulary;
  p.info.state_bytes = shape.layers * shape.width * sizeof(float);  // a token
  p.info.constant_state = false;
  p.info.context_limit = p.info.training_length = shape.length;
  p.info.start_token = p.tokenizer->start_token().value_or(0);
  p.whole = true;
  p.net = std::make_unique<HyenaNet>(shape, std::move(layers), p.mode, p.info.kernels);
  return sequence_model(std::move(p));
}

}  // namespace
}  // namespace deciban

DECIBAN_PLUGIN(deciban::open_hyena, deciban::check_hyena)
