#include "plugins/transformer/random_shapes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>

namespace deciban::transformer {
namespace {

using nlohmann::json;

enum class Kind { gpt2, neox, opt, bloom, llama, mistral, qwen2, qwen3 };
using enum Kind;

// Sizes from the models' published config.json.
struct Preset {
  const char* name;
  Kind kind;
  std::size_t layers, width, heads, kv_heads, ffn, vocabulary, length;
  double base = 10000;
  bool tied = false;
};
constexpr Preset kPresets[] = {
    {"gpt2", gpt2, 12, 768, 12, 12, 3072, 50257, 1024},
    {"gpt2-medium", gpt2, 24, 1024, 16, 16, 4096, 50257, 1024},
    {"gpt2-large", gpt2, 36, 1280, 20, 20, 5120, 50257, 1024},
    {"gpt2-xl", gpt2, 48, 1600, 25, 25, 6400, 50257, 1024},
    {"pythia-70m", neox, 6, 512, 8, 8, 2048, 50304, 2048},
    {"pythia-160m", neox, 12, 768, 12, 12, 3072, 50304, 2048},
    {"pythia-410m", neox, 24, 1024, 16, 16, 4096, 50304, 2048},
    {"pythia-1b", neox, 16, 2048, 8, 8, 8192, 50304, 2048},
    {"pythia-1.4b", neox, 24, 2048, 16, 16, 8192, 50304, 2048},
    {"pythia-2.8b", neox, 32, 2560, 32, 32, 10240, 50304, 2048},
    {"pythia-6.9b", neox, 32, 4096, 32, 32, 16384, 50432, 2048},
    {"pythia-12b", neox, 36, 5120, 40, 40, 20480, 50688, 2048},
    {"opt-125m", opt, 12, 768, 12, 12, 3072, 50272, 2048},
    {"opt-350m", opt, 24, 1024, 16, 16, 4096, 50272, 2048},
    {"opt-1.3b", opt, 24, 2048, 32, 32, 8192, 50272, 2048},
    {"opt-2.7b", opt, 32, 2560, 32, 32, 10240, 50272, 2048},
    {"opt-6.7b", opt, 32, 4096, 32, 32, 16384, 50272, 2048},
    {"opt-13b", opt, 40, 5120, 40, 40, 20480, 50272, 2048},
    {"bloom-560m", bloom, 24, 1024, 16, 16, 4096, 250880, 2048},
    {"bloom-1b1", bloom, 24, 1536, 16, 16, 6144, 250880, 2048},
    {"bloom-1b7", bloom, 24, 2048, 16, 16, 8192, 250880, 2048},
    {"bloom-3b", bloom, 30, 2560, 32, 32, 10240, 250880, 2048},
    {"bloom-7b1", bloom, 30, 4096, 32, 32, 16384, 250880, 2048},
    {"llama-7b", llama, 32, 4096, 32, 32, 11008, 32000, 2048},
    {"llama-13b", llama, 40, 5120, 40, 40, 13824, 32000, 2048},
    {"llama2-7b", llama, 32, 4096, 32, 32, 11008, 32000, 4096},
    {"llama2-13b", llama, 40, 5120, 40, 40, 13824, 32000, 4096},
    {"llama3-8b", llama, 32, 4096, 32, 8, 14336, 128256, 8192, 500000},
    {"llama3.2-1b", llama, 16, 2048, 32, 8, 8192, 128256, 131072, 500000, true},
    {"llama3.2-3b", llama, 28, 3072, 24, 8, 8192, 128256, 131072, 500000, true},
    {"mistral-7b", mistral, 32, 4096, 32, 8, 14336, 32000, 32768},
    {"qwen2-0.5b", qwen2, 24, 896, 14, 2, 4864, 151936, 131072, 1000000, true},
    {"qwen2-1.5b", qwen2, 28, 1536, 12, 2, 8960, 151936, 131072, 1000000, true},
    {"qwen2-7b", qwen2, 28, 3584, 28, 4, 18944, 152064, 131072, 1000000},
    {"qwen3-0.6b", qwen3, 28, 1024, 16, 8, 3072, 151936, 40960, 1000000, true},
    {"qwen3-1.7b", qwen3, 28, 2048, 16, 8, 6144, 151936, 40960, 1000000, true},
    {"qwen3-8b", qwen3, 36, 4096, 32, 8, 12288, 151936, 40960, 1000000},
    {"smollm2-135m", llama, 30, 576, 9, 3, 1536, 49152, 8192, 100000, true},
    {"smollm2-360m", llama, 32, 960, 15, 5, 2560, 49152, 8192, 100000, true},
    {"smollm2-1.7b", llama, 24, 2048, 32, 32, 8192, 49152, 8192, 130000, true},
};

json config_of(const Preset& p) {
  switch (p.kind) {
    case gpt2:
      return {{"model_type", "gpt2"},   {"n_embd", p.width}, {"n_layer", p.layers},
              {"n_head", p.heads},      {"n_inner", p.ffn},  {"vocab_size", p.vocabulary},
              {"n_positions", p.length}};
    case bloom:
      return {{"model_type", "bloom"}, {"hidden_size", p.width},     {"n_layer", p.layers},
              {"n_head", p.heads},     {"vocab_size", p.vocabulary}, {"seq_length", p.length}};
    default:
      break;
  }
  json c{{"hidden_size", p.width},
         {"num_hidden_layers", p.layers},
         {"num_attention_heads", p.heads},
         {"vocab_size", p.vocabulary},
         {"max_position_embeddings", p.length}};
  if (p.kind == opt) {
    c["model_type"] = "opt";
    c["ffn_dim"] = p.ffn;
    if (std::string_view(p.name) == "opt-350m") {
      c["word_embed_proj_dim"] = 512;
      c["do_layer_norm_before"] = false;
    }
    return c;
  }
  c["intermediate_size"] = p.ffn;
  c["tie_word_embeddings"] = p.tied;
  if (p.kind == neox) {
    c["model_type"] = "gpt_neox";
    return c;
  }
  c["model_type"] = p.kind == llama     ? "llama"
                    : p.kind == mistral ? "mistral"
                    : p.kind == qwen2   ? "qwen2"
                                        : "qwen3";
  c["num_key_value_heads"] = p.kv_heads;
  c["rope_theta"] = p.base;
  if (p.kind == mistral) c["sliding_window"] = 4096;
  if (std::string_view(p.name).starts_with("llama3.2")) {
    c["rope_scaling"] = {{"rope_type", "llama3"},
                         {"factor", 32.0},
                         {"low_freq_factor", 1.0},
                         {"high_freq_factor", 4.0},
                         {"original_max_position_embeddings", 8192}};
  }
  return c;
}

// Adds tensors under GGUF's names, each with a seed of its own.
class Maker {
 public:
  Maker(const Shape& shape, std::uint64_t seed) : s_(shape), seed_(seed) { out_.format = "random"; }

  Checkpoint make() && {
    matrix("token_embd", s_.vocabulary, s_.embedding, 1);
    if (s_.positions == Positions::learned)
      matrix("position_embd", s_.most_tokens + s_.learned_offset, s_.width, 0.25);
    if (s_.embedding_norm) norm("token_embd_norm");
    if (!s_.norm_after) norm("output_norm");
    if (s_.embedding != s_.width) {
      product("project_in", s_.width, s_.embedding, false);
      product("project_out", s_.embedding, s_.width, false);
    }
    if (!s_.tied) product("output", s_.vocabulary, s_.embedding, false);
    const std::size_t attention = s_.heads * s_.head_size, kv = s_.kv_heads * s_.head_size;
    for (std::size_t i = 0; i < s_.layers; ++i) {
      block_ = fmt::format("blk.{}.", i);
      norm("attn_norm");
      norm("ffn_norm");
      product("attn_q", attention, s_.width, s_.qkv_bias);
      product("attn_k", kv, s_.width, s_.qkv_bias);
      product("attn_v", kv, s_.width, s_.qkv_bias);
      product("attn_output", s_.width, attention, s_.output_bias);
      product("ffn_up", s_.ffn, s_.width, s_.mlp_bias);
      if (s_.gated) product("ffn_gate", s_.ffn, s_.width, s_.mlp_bias);
      product("ffn_down", s_.width, s_.ffn, s_.mlp_bias);
      if (s_.head_norm) {
        values("attn_q_norm.weight", s_.head_size, 1);
        values("attn_k_norm.weight", s_.head_size, 1);
      }
    }
    return std::move(out_);
  }

 private:
  // Normal values of about the given deviation: a power of two, which keeps them exact in bf16.
  void matrix(const std::string& name, std::size_t outputs, std::size_t inputs, double deviation) {
    deviation = std::exp2(std::round(std::log2(deviation)));
    out_.tensors.push_back(generated_tensor(block_ + name + ".weight", {outputs, inputs}, next_seed(),
                                            static_cast<float>(deviation)));
  }
  void product(const std::string& name, std::size_t outputs, std::size_t inputs, bool biased) {
    matrix(name, outputs, inputs, 1 / std::sqrt(static_cast<double>(inputs)));
    if (biased) values(name + ".bias", outputs, 0);
  }
  void norm(const std::string& name) {
    values(name + ".weight", s_.width, 1);
    if (s_.norm == Norm::Kind::layer) values(name + ".bias", s_.width, 0);
  }
  // Values about `centre`, exact in bf16.
  void values(const std::string& name, std::size_t size, float centre) {
    std::vector<float> v = generated_tensor(name, {size}, next_seed(), 0.125f).read_all();
    for (float& x : v) x = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x + centre) & 0xffff0000u);
    out_.tensors.push_back(owned_tensor(block_ + name, {size}, std::move(v)));
  }
  std::uint64_t next_seed() { return seed_ * 0x9e3779b97f4a7c15ull + ++made_; }

  const Shape& s_;
  std::uint64_t seed_, made_ = 0;
  std::string block_;
  Checkpoint out_;
};

std::size_t number(const std::string& key, std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0) {
    throw std::invalid_argument(
        fmt::format("random model: '{}={}' is not a positive whole number", key, text));
  }
  return value;
}

}  // namespace

std::vector<std::string> random_shapes() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

RandomTransformer random_transformer(const std::string& text) {
  RandomTransformer random;
  random.name = text.substr(0, text.find(','));
  const Preset* found = nullptr;
  for (const Preset& preset : kPresets) {
    if (random.name == preset.name) found = &preset;
  }
  if (found == nullptr) {
    throw std::invalid_argument(
        fmt::format("unknown shape '{}'; known transformers: {}; of RWKV, rwkv7-0.1b and others", random.name,
                    fmt::join(random_shapes(), ", ")));
  }
  Preset preset = *found;
  std::uint64_t seed = 1;
  for (std::size_t at = text.find(','); at != std::string::npos;) {
    const std::size_t end = text.find(',', at + 1);
    const std::string word = text.substr(at + 1, end == std::string::npos ? end : end - at - 1);
    const std::string key = word.substr(0, word.find('='));
    const std::string_view value =
        key.size() < word.size() ? std::string_view(word).substr(key.size() + 1) : "";
    if (key == "seed") {
      seed = number(key, value);
    } else if (key == "layers") {
      preset.layers = number(key, value);
    } else if (key == "vocab") {
      preset.vocabulary = number(key, value);
    } else if (key == "context") {
      preset.length = number(key, value);
    } else {
      throw std::invalid_argument(
          fmt::format("random model: unknown word '{}'; known: seed, layers, vocab, context", key));
    }
    at = end;
  }
  random.shape = shape_of_config(config_of(preset).dump(), "random:" + random.name);
  random.weights = Maker(random.shape, seed).make();
  return random;
}

}  // namespace deciban::transformer
