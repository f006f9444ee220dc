// What is to be known of a transformer before its weights are read: sizes, and which of the parts that
// families share it is made of.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/ops.h"

namespace deciban::transformer {

enum class Positions { learned, rotary, alibi };

// Angles of rotary positions, radians a token, and what turned channels are multiplied by (YaRN).
struct Rope {
  std::size_t rotary = 0;  // channels of a head that are turned
  bool interleaved = false;
  std::vector<float> frequencies;  // [rotary / 2]
  float magnitude = 1;
};

// One block is: h = norm1(x); x += attention(h); x += mlp(norm2(x)); or with `parallel` x += attention(h) +
// mlp(norm2(x)); or with `norm_after` x = norm1(x + attention(x)); x = norm2(x + mlp(x)), and no last norm.
struct Shape {
  std::string family;  // "gpt2", "gpt-neox", "opt", "bloom", "llama", "mistral", "qwen2", "qwen3"
  std::size_t layers = 0, width = 0, heads = 0, kv_heads = 0, head_size = 0, ffn = 0, vocabulary = 0;
  std::size_t embedding = 0;  // width of the embedding's rows: another one is projected in and out
  Positions positions = Positions::rotary;
  std::size_t learned_offset = 0;  // of the row of position 0
  std::size_t most_tokens = 0;     // learned positions, or where the family's own code changes its angles
  std::size_t training_length = 0;
  Norm::Kind norm = Norm::Kind::layer;
  float eps = 1e-5f;
  bool embedding_norm = false, parallel = false, norm_after = false, gated = false, head_norm = false;
  bool tied = false;            // the head is the embedding
  bool scale_by_layer = false;  // scores of layer i are divided by i + 1
  Epilogue::Act act = Epilogue::Act::gelu;
  Rope rope;
  std::vector<std::size_t> windows;  // of each layer; 0: all is seen
  // Parts that must be there; others of their kind are taken where the file has them.
  bool qkv_bias = false, output_bias = false, mlp_bias = false;

  // Whether all inputs of products come from an operation that can round them; elsewhere they stay f32.
  bool rounds_inputs() const { return !norm_after && embedding == width; }
  // The widest window, if every layer has one.
  std::size_t cache_window() const;
};

// Whether a config.json's model_type, or a GGUF's general.architecture, is a family of this plugin.
bool known_config(const std::string& config);
bool known_gguf(const Checkpoint& checkpoint);

// Throws std::runtime_error("WHERE: …") for a field that is missing, out of range, or changes the maths in a
// way that is not computed here; such fields are refused by name, never ignored.
Shape shape_of_config(const std::string& config, const std::string& where);
Shape shape_of_gguf(const Checkpoint& checkpoint, const std::string& where);

// Throws std::runtime_error for sizes that do not go together, or that this engine does not compute.
void check_shape(const Shape& shape, const std::string& where);

// 1 / base^(2 i / rotary), in f32 as the published code has it.
std::vector<float> plain_frequencies(double base, std::size_t rotary);
// ALiBi's slopes: powers of 2^(-8 / n) for n the power of two below, those between from 2 n.
std::vector<float> alibi_slopes(std::size_t heads);

}  // namespace deciban::transformer
