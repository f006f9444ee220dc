#include "plugins/transformer/net.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

namespace deciban::transformer {

namespace {

// Takes weights and keeps nothing: for looking whether all is there.
class Skimming final : public Backend {
 public:
  std::string device() const override { return "none"; }
  std::string kernels() const override { return "none"; }
  std::unique_ptr<Weight> matrix(const StoredTensor&, NumericMode) override { return nullptr; }
  std::unique_ptr<Vector> vector(std::span<const float>) override { return nullptr; }
  std::unique_ptr<EmbeddingTable> table(const StoredTensor&) override { return nullptr; }
  std::unique_ptr<Ops> open(int) override { return nullptr; }
  std::uint64_t weight_bytes() const override { return 0; }
  std::string refusal(NumericMode) const override { return {}; }
};

}  // namespace

void Net::check(const Checkpoint& checkpoint, const Shape& shape) {
  Skimming backend;
  const Net net(checkpoint, shape, NumericMode{}, backend);
}

// Hands a checkpoint's tensors to a backend.
class Net::Loader {
 public:
  Loader(const Tensors& tensors, const Shape& shape, NumericMode mode, Backend& backend)
      : tensors_(tensors), shape_(shape), mode_(mode), backend_(backend) {}

  std::unique_ptr<Weight> matrix(Part part, std::size_t outputs, std::size_t inputs,
                                 std::size_t layer = 0) const {
    return backend_.matrix(tensors_.matrix(part, outputs, inputs, layer), mode_);
  }
  std::unique_ptr<Vector> vector(Part part, std::size_t size, const char* what, std::size_t layer = 0) const {
    return backend_.vector(tensors_.vector(part, size, what, layer));
  }
  Linear linear(Part part, std::size_t outputs, std::size_t inputs, std::size_t layer, bool biased) const {
    Linear l{matrix(part, outputs, inputs, layer), nullptr};
    if (biased || tensors_.has(part, layer, "bias")) l.bias = vector(part, outputs, "bias", layer);
    return l;
  }
  OwnedNorm norm(Part part, std::size_t size, std::size_t layer = 0) const {
    OwnedNorm n{vector(part, size, "weight", layer), nullptr, shape_.eps, shape_.norm};
    if (shape_.norm == Norm::Kind::layer || tensors_.has(part, layer, "bias")) {
      n.bias = vector(part, size, "bias", layer);
    }
    return n;
  }
  std::unique_ptr<EmbeddingTable> table(Part part, std::size_t rows, std::size_t columns) const {
    return backend_.table(tensors_.matrix(part, rows, columns));
  }

 private:
  const Tensors& tensors_;
  const Shape& shape_;
  NumericMode mode_;
  Backend& backend_;
};

Net::Net(const Checkpoint& checkpoint, const Shape& shape, NumericMode mode, Backend& backend)
    : shape_(shape), mode_(mode) {
  if (!shape.rounds_inputs() && product_type() != Tensor::Type::f32) {
    throw std::logic_error("a shape that needs f32 inputs was given another mode");
  }
  const Tensors tensors(checkpoint, shape_);
  const Loader load(tensors, shape_, mode, backend);
  const Shape& s = shape_;
  embedding_ = load.table(Part::embedding, s.vocabulary, s.embedding);
  if (s.positions == Positions::learned) {
    positions_ = load.table(Part::positions, s.most_tokens + s.learned_offset, s.width);
  }
  if (s.positions == Positions::alibi) slopes_ = backend.vector(alibi_slopes(s.heads));
  if (s.rope.rotary > 0) {
    std::vector<float> frequencies = s.rope.frequencies;
    if (tensors.has(Part::rope_factors)) {  // GGUF: Llama 3.1's scaling, as divisors
      const std::vector<float> factors = tensors.vector(Part::rope_factors, frequencies.size(), "weight");
      for (std::size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= factors[i];
    }
    frequencies_ = backend.vector(frequencies);
  }
  if (s.embedding_norm) embedding_norm_ = load.norm(Part::embedding_norm, s.width);
  if (s.embedding != s.width) {
    project_in_ = load.matrix(Part::project_in, s.width, s.embedding);
    project_out_ = load.matrix(Part::project_out, s.embedding, s.width);
  }
  if (!s.norm_after) last_norm_ = load.norm(Part::last_norm, s.width);
  head_ = load.matrix(s.tied ? Part::embedding : Part::head, s.vocabulary, s.embedding);

  const std::size_t attention = s.heads * s.head_size, kv = s.kv_heads * s.head_size;
  for (std::size_t i = 0; i < s.layers; ++i) {
    Block b;
    b.norm1 = load.norm(Part::norm1, s.width, i);
    b.norm2 = load.norm(Part::norm2, s.width, i);
    b.q = load.linear(Part::q, attention, s.width, i, s.qkv_bias);
    b.k = load.linear(Part::k, kv, s.width, i, s.qkv_bias);
    b.v = load.linear(Part::v, kv, s.width, i, s.qkv_bias);
    b.output = load.linear(Part::output, s.width, attention, i, s.output_bias);
    b.up = load.linear(Part::up, s.ffn, s.width, i, s.mlp_bias);
    if (s.gated) b.gate = load.linear(Part::gate, s.ffn, s.width, i, s.mlp_bias);
    b.down = load.linear(Part::down, s.width, s.ffn, i, s.mlp_bias);
    if (s.head_norm) {
      b.q_norm = load.norm(Part::q_norm, s.head_size, i);
      b.k_norm = load.norm(Part::k_norm, s.head_size, i);
    }
    const double scale = 1 / std::sqrt(static_cast<double>(s.head_size));
    b.attention = {.heads = s.heads,
                   .kv_heads = s.kv_heads,
                   .head_size = s.head_size,
                   .scale = static_cast<float>(s.scale_by_layer ? scale / static_cast<double>(i + 1) : scale),
                   .rotary = s.rope.rotary,
                   .interleaved = s.rope.interleaved,
                   .frequencies = frequencies_.get(),
                   .magnitude = s.rope.magnitude,
                   .q_norm = b.q_norm.view(),
                   .k_norm = b.k_norm.view(),
                   .slopes = slopes_.get(),
                   .window = s.windows.at(i)};
    blocks_.push_back(std::move(b));
  }
  tensors.refuse_unread();
}

KvShape Net::cache_shape() const {
  return {shape_.layers, shape_.kv_heads, shape_.head_size, mode_.activations, shape_.cache_window()};
}

// x += attention(h).
void Net::attend(Ops& ops, const Block& b, std::size_t layer, const Tensor& h, const Tensor& x, Layout layout,
                 KvCache& cache, const Product* beside) const {
  const std::size_t attention = shape_.heads * shape_.head_size, kv = shape_.kv_heads * shape_.head_size;
  const Tensor::Type inner = ops.inner_type(mode_.activations);
  const Tensor q = ops.allocate(x.rows, attention, inner), k = ops.allocate(x.rows, kv, inner),
               v = ops.allocate(x.rows, kv, inner);
  std::vector<Product> products = {{b.q.weight.get(), h, q, {.bias = b.q.bias.get()}},
                                   {b.k.weight.get(), h, k, {.bias = b.k.bias.get()}},
                                   {b.v.weight.get(), h, v, {.bias = b.v.bias.get()}}};
  if (beside != nullptr) products.push_back(*beside);
  ops.products(products);
  const Tensor out = ops.allocate(x.rows, attention, product_type());
  ops.attention(b.attention, q, k, v, layout, cache, layer, out);
  ops.linear(*b.output.weight, out, x, {.combine = Epilogue::Combine::add, .bias = b.output.bias.get()});
}

Product Net::up(const Block& b, const Tensor& h, const Tensor& inner) const {
  return {b.up.weight.get(), h, inner, {.act = shape_.act, .bias = b.up.bias.get()}};
}

void Net::down(Ops& ops, const Block& b, const Tensor& inner, const Tensor& x) const {
  ops.linear(*b.down.weight, inner, x, {.combine = Epilogue::Combine::add, .bias = b.down.bias.get()});
}

// x += mlp(h).
void Net::mlp(Ops& ops, const Block& b, const Tensor& h, const Tensor& x) const {
  const Tensor inner = ops.allocate(x.rows, shape_.ffn, product_type());
  if (shape_.gated) {
    const Tensor up = ops.allocate(x.rows, shape_.ffn, ops.inner_type(mode_.activations));
    ops.linear(*b.up.weight, h, up, {.bias = b.up.bias.get()});
    ops.linear(
        *b.gate.weight, h, inner,
        {.act = shape_.act, .combine = Epilogue::Combine::gate, .bias = b.gate.bias.get(), .gate = up});
  } else {
    const Product product = up(b, h, inner);
    ops.products({&product, 1});
  }
  down(ops, b, inner, x);
}

Tensor Net::forward(Ops& ops, std::span<const Token> tokens, Layout layout, KvCache& cache) const {
  const Shape& s = shape_;
  Tensor x = ops.allocate(tokens.size(), s.width);
  const Norm norm = embedding_norm_.view();
  if (project_in_ != nullptr) {
    const Tensor narrow = ops.allocate(tokens.size(), s.embedding);
    ops.embed(*embedding_, tokens, nullptr, narrow);
    ops.linear(*project_in_, narrow, x);
  } else {
    ops.embed(*embedding_, tokens, s.embedding_norm ? &norm : nullptr, x);
  }
  if (positions_ != nullptr) {
    ops.add_positions(*positions_, s.learned_offset, layout, cache, x);
  }
  const Tensor h = ops.allocate(x.rows, s.width, product_type());
  const Tensor normed = s.norm_after ? ops.allocate(x.rows, s.width) : Tensor{};
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const Block& b = blocks_[i];
    const std::size_t mark = ops.mark();
    if (s.norm_after) {
      attend(ops, b, i, x, x, layout, cache);
      ops.norm(x, b.norm1.view(), normed);
      mlp(ops, b, normed, normed);
      ops.norm(normed, b.norm2.view(), x);
    } else {
      ops.norm(x, b.norm1.view(), h);
      if (s.parallel) {
        const Tensor h2 = ops.allocate(x.rows, s.width, product_type());
        ops.norm(x, b.norm2.view(), h2);
        if (s.gated) {
          attend(ops, b, i, h, x, layout, cache);
          mlp(ops, b, h2, x);
        } else {  // the MLP does not wait for attention
          const Tensor inner = ops.allocate(x.rows, s.ffn, product_type());
          const Product first = up(b, h2, inner);
          attend(ops, b, i, h, x, layout, cache, &first);
          down(ops, b, inner, x);
        }
      } else {
        attend(ops, b, i, h, x, layout, cache);
        ops.norm(x, b.norm2.view(), h);
        mlp(ops, b, h, x);
      }
    }
    ops.release(mark);
  }
  return x;
}

Tensor Net::last(Ops& ops, const Tensor& x, std::span<const std::size_t> rows) const {
  Tensor out = ops.allocate(rows.size(), shape_.width, product_type());
  if (shape_.norm_after) {  // the rows as they are
    std::vector<float> row(shape_.width);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      ops.read(x, rows[i], 1, row.data());
      ops.write(out, i, 1, row.data());
    }
  } else {
    ops.norm_rows(x, rows, last_norm_.view(), out);
  }
  if (project_out_ == nullptr) return out;
  const Tensor narrow = ops.allocate(rows.size(), shape_.embedding, product_type());
  ops.linear(*project_out_, out, narrow);
  return narrow;
}

}  // namespace deciban::transformer
