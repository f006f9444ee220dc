// config.json of every family to a Shape.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "plugins/transformer/fields.h"
#include "plugins/transformer/rope.h"
#include "plugins/transformer/shape.h"

namespace deciban::transformer {
namespace {

using Act = Epilogue::Act;

// Fields that say nothing of what is computed in evaluation.
const std::set<std::string_view> kHarmless = {"model_type",
                                              "architectures",
                                              "torch_dtype",
                                              "dtype",
                                              "transformers_version",
                                              "_name_or_path",
                                              "name_or_path",
                                              "bos_token_id",
                                              "eos_token_id",
                                              "pad_token_id",
                                              "sep_token_id",
                                              "unk_token_id",
                                              "decoder_start_token_id",
                                              "use_cache",
                                              "initializer_range",
                                              "init_std",
                                              "attention_dropout",
                                              "hidden_dropout",
                                              "classifier_dropout",
                                              "dropout",
                                              "layerdrop",
                                              "attn_pdrop",
                                              "embd_pdrop",
                                              "resid_pdrop",
                                              "activation_dropout",
                                              "summary_activation",
                                              "summary_first_dropout",
                                              "summary_proj_to_labels",
                                              "summary_type",
                                              "summary_use_proj",
                                              "task_specific_params",
                                              "gradient_checkpointing",
                                              "reorder_and_upcast_attn",
                                              "pretraining_tp",
                                              "slow_but_exact",
                                              "attention_softmax_in_fp32",
                                              "masked_softmax_fusion",
                                              "bias_dropout_fusion",
                                              "skip_bias_add",
                                              "skip_bias_add_qkv",
                                              "unk_token",
                                              "seq_length",
                                              "n_ctx",
                                              "prefix",
                                              "is_decoder",
                                              "_attn_implementation_autoset",
                                              "is_llama_config",
                                              "transformers.js_config",
                                              "output_past",
                                              "vocab_size",
                                              "id2label",
                                              "label2id",
                                              "num_labels",
                                              "use_bfloat16",
                                              "auto_map",
                                              "offset_alibi",
                                              "n_special",
                                              "predict_special_tokens",
                                              "afn",
                                              "finetuning_task",
                                              "attn_implementation",
                                              "max_window_layers",
                                              "return_dict",
                                              "tokenizer_class"};

Act act_of(Fields& f, const char* field, const char* usual) {
  const std::string word = f.text(field, usual);
  if (word == "gelu") return Act::gelu;
  if (word == "gelu_new" || word == "gelu_fast" || word == "gelu_pytorch_tanh") return Act::gelu_tanh;
  if (word == "relu") return Act::relu;
  if (word == "silu" || word == "swish") return Act::silu;
  f.fail(fmt::format("{} is '{}'; known: gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, relu, silu", field,
                     word));
}

void want(Fields& f, const char* field, bool value, bool usual) {
  if (f.flag(field, usual) != value) {
    f.fail(fmt::format("{} is {}: that is not computed here", field, value ? "false" : "true"));
  }
}

void sizes(Fields& f, Shape& s, const char* width, const char* layers, const char* heads) {
  s.width = f.size(width);
  s.layers = f.size(layers);
  s.heads = f.size(heads);
  s.vocabulary = f.size("vocab_size");
  s.kv_heads = s.heads;
  s.embedding = s.width;
  s.head_size = s.heads == 0 ? 0 : s.width / s.heads;
}

Shape gpt2(Fields& f) {
  Shape s{.family = "gpt2"};
  sizes(f, s, "n_embd", "n_layer", "n_head");
  s.ffn = f.size("n_inner", 4 * s.width);
  s.training_length = s.most_tokens = f.size("n_positions", 1024);
  s.positions = Positions::learned;
  s.eps = static_cast<float>(f.number("layer_norm_epsilon", 1e-5));
  s.act = act_of(f, "activation_function", "gelu_new");
  s.tied = f.flag("tie_word_embeddings", true);
  s.scale_by_layer = f.flag("scale_attn_by_inverse_layer_idx", false);
  want(f, "scale_attn_weights", true, true);
  want(f, "add_cross_attention", false, false);
  s.qkv_bias = s.output_bias = s.mlp_bias = true;
  return s;
}

Shape gpt_neox(Fields& f) {
  Shape s{.family = "gpt-neox"};
  sizes(f, s, "hidden_size", "num_hidden_layers", "num_attention_heads");
  s.ffn = f.size("intermediate_size");
  s.training_length = f.size("max_position_embeddings", 2048);
  s.eps = static_cast<float>(f.number("layer_norm_eps", 1e-5));
  s.act = act_of(f, "hidden_act", "gelu");
  s.tied = f.flag("tie_word_embeddings", false);
  s.parallel = f.flag("use_parallel_residual", true);
  const double share = f.number("rotary_pct", 0.25), base = f.number("rotary_emb_base", 10000);
  read_rope(f, s, share, base);
  s.qkv_bias = s.output_bias = f.flag("attention_bias", true);
  s.mlp_bias = true;
  return s;
}

Shape opt(Fields& f) {
  Shape s{.family = "opt"};
  sizes(f, s, "hidden_size", "num_hidden_layers", "num_attention_heads");
  s.ffn = f.size("ffn_dim");
  s.embedding = f.size("word_embed_proj_dim", s.width);
  s.training_length = s.most_tokens = f.size("max_position_embeddings", 2048);
  s.positions = Positions::learned;
  s.learned_offset = 2;
  s.act = act_of(f, "activation_function", "relu");
  s.tied = f.flag("tie_word_embeddings", true);
  s.norm_after = !f.flag("do_layer_norm_before", true);
  want(f, "_remove_final_layer_norm", false, false);
  want(f, "layer_norm_elementwise_affine", true, true);
  s.qkv_bias = s.output_bias = s.mlp_bias = f.flag("enable_bias", true);
  return s;
}

Shape bloom(Fields& f) {
  Shape s{.family = "bloom"};
  const bool old = f.has("n_embed");
  sizes(f, s, old ? "n_embed" : "hidden_size", f.has("n_layer") ? "n_layer" : "num_hidden_layers",
        f.has("n_head") ? "n_head" : "num_attention_heads");
  if (old) f.size("hidden_size", s.width);
  s.ffn = 4 * s.width;
  s.positions = Positions::alibi;
  s.training_length = f.size("seq_length", 2048);
  s.eps = static_cast<float>(f.number("layer_norm_epsilon", 1e-5));
  s.act = Act::gelu_tanh;
  s.tied = f.flag("tie_word_embeddings", true);
  s.embedding_norm = true;
  want(f, "apply_residual_connection_post_layernorm", false, false);
  s.qkv_bias = s.output_bias = s.mlp_bias = true;
  return s;
}

// Windows of each layer, from layer_types or the older fields.
void windows(Fields& f, Shape& s, bool by_default) {
  const bool use = f.flag("use_sliding_window", by_default);
  const std::size_t window = f.size("sliding_window", 0), full = f.size("max_window_layers", 28);
  const nlohmann::json* types = f.value("layer_types");
  s.windows.assign(s.layers, 0);
  if (types == nullptr) {
    for (std::size_t i = by_default ? 0 : full; use && i < s.layers; ++i) s.windows[i] = window;
    return;
  }
  if (!types->is_array() || types->size() != s.layers)
    f.fail("layer_types is not a list of one kind a layer");
  for (std::size_t i = 0; i < s.layers; ++i) {
    if ((*types)[i] == "sliding_attention") {
      if (window == 0) f.fail("layer_types has sliding_attention, but there is no sliding_window");
      s.windows[i] = window;
    } else if ((*types)[i] != "full_attention") {
      f.fail(fmt::format("layer_types[{}] is {}; known: full_attention, sliding_attention", i,
                         (*types)[i].dump()));
    }
  }
}

Shape llama_like(Fields& f, const char* family) {
  Shape s{.family = family};
  sizes(f, s, "hidden_size", "num_hidden_layers", "num_attention_heads");
  s.kv_heads = f.size("num_key_value_heads", s.heads);
  const bool qwen3 = s.family == "qwen3";
  s.head_size = f.size("head_dim", qwen3 ? 128 : s.head_size);
  s.ffn = f.size("intermediate_size");
  s.training_length = f.size("max_position_embeddings", 2048);
  s.norm = Norm::Kind::rms;
  s.eps = static_cast<float>(f.number("rms_norm_eps", 1e-6));
  s.act = act_of(f, "hidden_act", "silu");
  s.gated = true;
  s.tied = f.flag("tie_word_embeddings", false);
  read_rope(f, s, 1.0, 10000);
  want(f, "rope_interleaved", false, false);
  s.qkv_bias = f.flag("attention_bias", s.family == "qwen2");
  s.output_bias = s.family != "qwen2" && s.qkv_bias;
  s.mlp_bias = f.flag("mlp_bias", false);
  s.head_norm = qwen3;
  windows(f, s, s.family == "mistral");
  return s;
}

struct FamilyEntry {
  const char* model_type;
  Shape (*read)(Fields&);
};
constexpr FamilyEntry kFamilies[] = {
    {"gpt2", gpt2},
    {"gpt_neox", gpt_neox},
    {"opt", opt},
    {"bloom", bloom},
    {"llama", [](Fields& f) { return llama_like(f, "llama"); }},
    {"mistral", [](Fields& f) { return llama_like(f, "mistral"); }},
    {"qwen2", [](Fields& f) { return llama_like(f, "qwen2"); }},
    {"qwen3", [](Fields& f) { return llama_like(f, "qwen3"); }},
};

const FamilyEntry* family_of(const nlohmann::json& config) {
  if (!config.is_object() || !config.contains("model_type")) return nullptr;
  for (const FamilyEntry& entry : kFamilies) {
    if (config["model_type"] == entry.model_type) return &entry;
  }
  return nullptr;
}

}  // namespace

bool known_config(const std::string& config) {
  return family_of(nlohmann::json::parse(config, nullptr, false)) != nullptr;
}

Shape shape_of_config(const std::string& config, const std::string& where) {
  const nlohmann::json parsed = nlohmann::json::parse(config, nullptr, false);
  Fields fields(parsed, where);
  if (!parsed.is_object()) fields.fail("is not a JSON object");
  const FamilyEntry* family = family_of(parsed);
  if (family == nullptr) {
    std::string known;
    for (const FamilyEntry& entry : kFamilies)
      known += (known.empty() ? "" : ", ") + std::string(entry.model_type);
    fields.fail(fmt::format("model_type is {}; known: {}",
                            parsed.contains("model_type") ? parsed["model_type"].dump() : "missing", known));
  }
  Shape shape = family->read(fields);
  fields.refuse_unread(kHarmless);
  if (shape.windows.empty()) shape.windows.assign(shape.layers, 0);
  check_shape(shape, where);
  return shape;
}

std::size_t Shape::cache_window() const {
  if (windows.empty() || std::find(windows.begin(), windows.end(), std::size_t{0}) != windows.end()) return 0;
  return *std::max_element(windows.begin(), windows.end());
}

void check_shape(const Shape& s, const std::string& where) {
  const auto refuse = [&](const std::string& what) {
    throw std::runtime_error(fmt::format("{}: {}", where, what));
  };
  constexpr std::size_t kMostLayers = 1024, kMostWidth = 1 << 20, kMostHead = 1024;
  if (s.layers == 0 || s.layers > kMostLayers) refuse(fmt::format("{} layers make no sense", s.layers));
  if (s.width == 0 || s.ffn == 0 || s.embedding == 0 || s.vocabulary == 0 || s.width > kMostWidth ||
      s.ffn > kMostWidth || s.vocabulary > (std::size_t{1} << 24)) {
    refuse(fmt::format("width {}, inner width {} and vocabulary {} make no sense", s.width, s.ffn,
                       s.vocabulary));
  }
  if (s.heads == 0 || s.kv_heads == 0 || s.heads % s.kv_heads != 0) {
    refuse(fmt::format("{} heads cannot share {} heads of keys", s.heads, s.kv_heads));
  }
  if (s.head_size == 0 || s.head_size % 2 != 0 || s.head_size > kMostHead) {
    refuse(fmt::format("heads of {} channels are not computed: an even number up to {} is", s.head_size,
                       kMostHead));
  }
  if (s.positions == Positions::learned && s.most_tokens == 0)
    refuse("learned positions without a number of them");
}

std::vector<float> alibi_slopes(std::size_t heads) {
  std::size_t power = 1;
  while (power * 2 <= heads) power *= 2;
  std::vector<float> slopes;
  for (std::size_t h = 1; h <= heads; ++h) {
    const double exponent = h <= power
                                ? 8.0 * static_cast<double>(h) / static_cast<double>(power)
                                : 4.0 * static_cast<double>(2 * (h - power) - 1) / static_cast<double>(power);
    slopes.push_back(static_cast<float>(std::exp2(-exponent)));
  }
  return slopes;
}

}  // namespace deciban::transformer
