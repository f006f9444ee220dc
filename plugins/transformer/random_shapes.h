// Transformers of published shapes with seeded random weights, for measuring speed and memory without
// downloads.
#pragma once

#include <string>
#include <vector>

#include "engine/checkpoint.h"
#include "plugins/transformer/shape.h"

namespace deciban::transformer {

struct RandomTransformer {
  std::string name;  // "pythia-160m"
  Shape shape;
  Checkpoint weights;  // computed when they are read
};

// Reads "pythia-160m" or "pythia-160m,seed=2,layers=4,vocab=256,context=32768".  Throws std::invalid_argument
// naming the word and the known shapes.
RandomTransformer random_transformer(const std::string& text);
std::vector<std::string> random_shapes();

}  // namespace deciban::transformer
