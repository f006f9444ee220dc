// A checkpoint's tensors by the part they play, whatever the family calls them and however it lays them out.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/checkpoint.h"
#include "plugins/transformer/shape.h"

namespace deciban::transformer {

enum class Part {
  embedding,
  positions,
  embedding_norm,
  project_in,
  project_out,
  last_norm,
  head,  // of the model
  norm1,
  norm2,
  q,
  k,
  v,
  output,
  up,
  gate,
  down,
  q_norm,
  k_norm,
  rope_factors  // of a layer
};

// Hands out weights as [outputs, inputs] and vectors as they are, and knows at the end what nobody asked for.
class Tensors {
 public:
  // Finds out whose names the checkpoint has.  Throws std::runtime_error naming what it looked for.
  Tensors(const Checkpoint& checkpoint, const Shape& shape);

  bool has(Part part, std::size_t layer = 0, const char* what = "weight") const;
  // Throws std::runtime_error, naming the tensor, if it is missing or has another shape.  The outputs of a
  // view may be spread over two leading dimensions (Backend::matrix).
  StoredTensor matrix(Part part, std::size_t outputs, std::size_t inputs, std::size_t layer = 0) const;
  std::vector<float> vector(Part part, std::size_t size, const char* what, std::size_t layer = 0) const;

  // Throws std::runtime_error naming tensors that were not asked for and may matter.
  void refuse_unread() const;

 private:
  struct Place;
  std::optional<Place> place(Part part, std::size_t layer, const char* what) const;
  StoredTensor stored(Part part, std::size_t layer, const char* what) const;
  StoredTensor fused(StoredTensor tensor, std::size_t third) const;
  [[noreturn]] void fail(const std::string& what) const;

  const Checkpoint& checkpoint_;
  const Shape& shape_;
  const struct Names* names_ = nullptr;
  std::string prefix_;
  mutable std::set<std::string> read_;
};

}  // namespace deciban::transformer
