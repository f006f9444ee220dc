// Models of any published shape with seeded random weights, for measuring speed and memory without downloads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/rwkv_names.h"

namespace deciban {

struct RandomSpec {
  std::string name;  // "rwkv7-0.1b"
  RwkvShape shape;
  std::uint64_t seed = 1;
};

// Reads "rwkv7-0.1b" or "rwkv7-0.1b,seed=2,vocab=256,layers=4,width=192".  Throws std::invalid_argument
// naming the word and the nearest or all known shapes.
DECIBAN_API RandomSpec random_spec(const std::string& text);
DECIBAN_API std::vector<std::string> random_shapes();  // the published ones, by name

// A checkpoint with official names whose matrices are computed when they are read: it needs no memory and no
// file. Scales are those of trained models (inputs of order one everywhere, decays spread over each head), so
// that activations stay in the range the formats are made for.  Values are exactly representable in bf16.
DECIBAN_API Checkpoint random_rwkv(const RandomSpec& spec);

}  // namespace deciban
