// A GGUF's metadata as the config.json that its model had, so that both are read by the same code.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "plugins/transformer/shape.h"

namespace deciban::transformer {
namespace {

using nlohmann::json;

struct Architecture {
  const char *gguf, *model_type;
  // What config.json calls width, layers, heads, inner width (null: it is 4 widths), length and epsilon.
  const char *width, *layers, *heads, *ffn, *length, *eps;
  bool rms;
  bool interleaved;  // llama.cpp's converter reorders the rows of q and k
};
constexpr Architecture kArchitectures[] = {
    {"llama", "llama", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
     "max_position_embeddings", "rms_norm_eps", true, true},
    {"qwen2", "qwen2", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
     "max_position_embeddings", "rms_norm_eps", true, false},
    {"qwen3", "qwen3", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
     "max_position_embeddings", "rms_norm_eps", true, false},
    {"gpt2", "gpt2", "n_embd", "n_layer", "n_head", "n_inner", "n_positions", "layer_norm_epsilon", false,
     false},
    {"gptneox", "gpt_neox", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
     "max_position_embeddings", "layer_norm_eps", false, false},
    {"bloom", "bloom", "hidden_size", "n_layer", "n_head", nullptr, "seq_length", "layer_norm_epsilon", false,
     false},
};

const Architecture* architecture_of(const Checkpoint& checkpoint) {
  const auto found = checkpoint.metadata.find("general.architecture");
  if (checkpoint.format != "gguf" || found == checkpoint.metadata.end()) return nullptr;
  for (const Architecture& a : kArchitectures) {
    if (found->second == a.gguf) return &a;
  }
  return nullptr;
}

// The metadata under one architecture's prefix; remembers what was asked for.
class Metadata {
 public:
  Metadata(const Checkpoint& checkpoint, const Architecture& a, const std::string& where)
      : values_(checkpoint.metadata), prefix_(std::string(a.gguf) + "."), where_(where) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error(fmt::format("{}: {}", where_, what));
  }
  // Null if absent.
  const std::string* text(const std::string& key) {
    read_.insert(prefix_ + key);
    const auto found = values_.find(prefix_ + key);
    return found == values_.end() ? nullptr : &found->second;
  }
  // A number as JSON; null if absent.
  json number(const std::string& key) {
    const std::string* value = text(key);
    if (value == nullptr) return nullptr;
    const json parsed = json::parse(*value, nullptr, false);
    if (!parsed.is_number()) fail(fmt::format("{}{} is '{}', not a number", prefix_, key, *value));
    return parsed;
  }
  bool flag(const std::string& key, bool otherwise) {
    const std::string* value = text(key);
    return value == nullptr ? otherwise : *value == "true";
  }
  void refuse_unread() const {
    for (const auto& [key, value] : values_) {
      if (!key.starts_with(prefix_) || read_.contains(key) || value == "0" || value == "false") continue;
      fail(fmt::format("the metadata '{}' ({}) is not known here and may change what the model computes", key,
                       value.substr(0, 60)));
    }
  }

 private:
  const std::map<std::string, std::string>& values_;
  std::string prefix_, where_;
  std::set<std::string> read_;
};

// An explicit magnitude (rope.scaling.attn_factor) stays unread, and so is refused: llama.cpp multiplies the
// usual one by it, where transformers' attention_factor, which its converter writes there, stands instead.
void add_rope_scaling(Metadata& m, json& config) {
  const std::string* given = m.text("rope.scaling.type");
  const json factor = m.number("rope.scaling.factor"), old = m.number("rope.scaling.original_context_length");
  const std::string kind = given != nullptr                  ? *given
                           : factor.is_null() || factor == 0 ? "none"
                                                             : "linear";  // as llama.cpp takes it
  if (kind == "none") return;
  if (kind != "linear" && kind != "yarn") {
    m.fail(
        fmt::format("scales its rotary positions by '{}': of a GGUF none, linear and yarn are read; use the "
                    "Hugging Face files",
                    kind));
  }
  json scaling{{"rope_type", kind}, {"factor", factor}};
  if (kind == "yarn") {
    scaling["original_max_position_embeddings"] = old;
    for (const char* name : {"beta_fast", "beta_slow"}) {
      if (const json beta = m.number(std::string("rope.scaling.yarn_") + name); !beta.is_null())
        scaling[name] = beta;
    }
  }
  config["rope_scaling"] = scaling;
}

json config_of(const Checkpoint& checkpoint, const Architecture& a, Metadata& m) {
  json config{{"model_type", a.model_type}};
  config[a.width] = m.number("embedding_length");
  config[a.layers] = m.number("block_count");
  config[a.heads] = m.number("attention.head_count");
  const json ffn = m.number("feed_forward_length");
  if (a.ffn != nullptr) {
    config[a.ffn] = ffn;
  } else if (!config[a.width].is_number() || ffn != 4 * config[a.width].get<double>()) {
    m.fail(fmt::format("has a feed_forward_length of {}, not 4 widths", ffn.dump()));
  }
  config[a.length] = m.number("context_length");
  config[a.eps] = m.number(a.rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon");
  if (config[a.eps].is_null()) m.fail("has no epsilon of its norms");
  const StoredTensor& embedding = checkpoint.at("token_embd.weight");
  config["vocab_size"] = embedding.shape.empty() ? 0 : embedding.shape[0];
  config["tie_word_embeddings"] = checkpoint.find("output.weight") == nullptr;
  const json kv_heads = m.number("attention.head_count_kv");
  const json keys = m.number("attention.key_length"), values = m.number("attention.value_length");
  if (keys != values) m.fail("keys and values have different lengths: that is not computed here");
  const json base = m.number("rope.freq_base"), turned = m.number("rope.dimension_count");
  const bool parallel = m.flag("use_parallel_residual", true);
  for (const char* known : {"vocab_size", "rope.scaling.finetuned", "tensor_data_layout"}) m.text(known);
  if (a.rms) {
    if (!kv_heads.is_null()) config["num_key_value_heads"] = kv_heads;
    if (!keys.is_null()) config["head_dim"] = keys;
    if (const json window = m.number("attention.sliding_window"); !window.is_null() && window != 0) {
      m.fail("has a sliding window, but does not say which layers it is of: use the Hugging Face files");
    }
  }
  if (std::string(a.gguf) == "gpt2" || std::string(a.gguf) == "bloom") return config;
  if (std::string(a.gguf) == "gptneox") config["use_parallel_residual"] = parallel;
  config["rope_theta"] = base.is_null() ? json(10000.0) : base;
  if (!turned.is_null() && config[a.heads].is_number_unsigned() && config[a.heads] != 0) {
    const double size =
        keys.is_null() ? config[a.width].get<double>() / config[a.heads].get<double>() : keys.get<double>();
    config["partial_rotary_factor"] = turned.get<double>() / size;
  }
  add_rope_scaling(m, config);
  return config;
}

}  // namespace

bool known_gguf(const Checkpoint& checkpoint) { return architecture_of(checkpoint) != nullptr; }

Shape shape_of_gguf(const Checkpoint& checkpoint, const std::string& where) {
  const Architecture* a = architecture_of(checkpoint);
  if (a == nullptr) throw std::runtime_error(fmt::format("{}: is not a GGUF of a known transformer", where));
  Metadata metadata(checkpoint, *a, where);
  const json config = config_of(checkpoint, *a, metadata);
  metadata.refuse_unread();
  Shape shape = shape_of_config(config.dump(), where);
  shape.rope.interleaved = a->interleaved;
  return shape;
}

}  // namespace deciban::transformer
