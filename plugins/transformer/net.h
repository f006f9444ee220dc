// The blocks of a transformer on a backend, written in the engine's operations.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/ops.h"
#include "plugins/transformer/shape.h"
#include "plugins/transformer/tensors.h"

namespace deciban::transformer {

struct OwnedNorm {
  std::unique_ptr<Vector> weight, bias;
  float eps = 1e-5f;
  Norm::Kind kind = Norm::Kind::layer;
  Norm view() const { return {weight.get(), bias.get(), eps, kind}; }
};

// A matrix and its bias, which may be null.
struct Linear {
  std::unique_ptr<Weight> weight;
  std::unique_ptr<Vector> bias;
};

// All that lies on one device and does not change after loading.  Any number of threads may run it with Ops
// of their own.
class Net {
 public:
  // Throws std::runtime_error naming tensor and file for what is missing, misshapen or unknown.
  Net(const Checkpoint& checkpoint, const Shape& shape, NumericMode mode, Backend& backend);

  // Throws what the constructor would throw of names and shapes, without reading matrices.
  static void check(const Checkpoint& checkpoint, const Shape& shape);

  const Shape& shape() const { return shape_; }
  const Weight& head() const { return *head_; }
  KvShape cache_shape() const;
  Tensor::Type product_type() const { return Ops::product_type(mode_.activations); }

  // Reads the chunk's tokens into the cache, which has room for them and is not advanced; returns the
  // residual stream behind the last block.
  Tensor forward(Ops& ops, std::span<const Token> tokens, Layout layout, KvCache& cache) const;
  // What the head's product reads, of the rows given.
  Tensor last(Ops& ops, const Tensor& x, std::span<const std::size_t> rows) const;

 private:
  struct Block {
    OwnedNorm norm1, norm2, q_norm, k_norm;
    Linear q, k, v, output, up, gate, down;
    Attention attention;
  };
  class Loader;

  // `beside`: one more product that may be computed together with q, k and v, or null.
  void attend(Ops& ops, const Block& block, std::size_t layer, const Tensor& h, const Tensor& x,
              Layout layout, KvCache& cache, const Product* beside = nullptr) const;
  void mlp(Ops& ops, const Block& block, const Tensor& h, const Tensor& x) const;
  Product up(const Block& block, const Tensor& h, const Tensor& inner) const;  // of an MLP without gate
  void down(Ops& ops, const Block& block, const Tensor& inner, const Tensor& x) const;

  Shape shape_;
  NumericMode mode_;
  std::unique_ptr<EmbeddingTable> embedding_, positions_;
  std::unique_ptr<Vector> frequencies_, slopes_;
  OwnedNorm embedding_norm_, last_norm_;
  std::unique_ptr<Weight> project_in_, project_out_, head_;
  std::vector<Block> blocks_;
};

}  // namespace deciban::transformer
