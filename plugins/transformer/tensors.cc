#include "plugins/transformer/tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>

namespace deciban::transformer {

// How q, k and v lie in one tensor, if they do.
enum class Fusion { none, thirds, by_head };

// What a family calls its parts: "{}" is the layer, null what it does not have.  The suffixes ".weight" and
// ".bias" follow, but for those with a name of their own.
struct Names {
  const char* name;
  std::array<const char*, 4> prefixes;  // one of them stands before all names but the head's
  const char *embedding, *positions, *embedding_norm, *project_in, *project_out, *last_norm, *head;
  const char *norm1, *norm2, *qkv, *q, *k, *v, *output, *up, *gate, *down, *q_norm, *k_norm;
  Fusion fusion = Fusion::none;
  bool transposed = false;  // GPT-2's Conv1D: a layer's matrices are stored [inputs, outputs]
};

namespace {

constexpr Names kNames[] = {
    {"gpt2",
     {"transformer.", "", nullptr, nullptr},
     "wte",
     "wpe",
     nullptr,
     nullptr,
     nullptr,
     "ln_f",
     "lm_head",
     "h.{}.ln_1",
     "h.{}.ln_2",
     "h.{}.attn.c_attn",
     nullptr,
     nullptr,
     nullptr,
     "h.{}.attn.c_proj",
     "h.{}.mlp.c_fc",
     nullptr,
     "h.{}.mlp.c_proj",
     nullptr,
     nullptr,
     Fusion::thirds,
     true},
    {"gpt_neox",
     {"gpt_neox.", "", nullptr, nullptr},
     "embed_in",
     nullptr,
     nullptr,
     nullptr,
     nullptr,
     "final_layer_norm",
     "embed_out",
     "layers.{}.input_layernorm",
     "layers.{}.post_attention_layernorm",
     "layers.{}.attention.query_key_value",
     nullptr,
     nullptr,
     nullptr,
     "layers.{}.attention.dense",
     "layers.{}.mlp.dense_h_to_4h",
     nullptr,
     "layers.{}.mlp.dense_4h_to_h",
     nullptr,
     nullptr,
     Fusion::by_head},
    {"opt",
     {"model.decoder.", "decoder.", "", nullptr},
     "embed_tokens",
     "embed_positions",
     nullptr,
     "project_in",
     "project_out",
     "final_layer_norm",
     "lm_head",
     "layers.{}.self_attn_layer_norm",
     "layers.{}.final_layer_norm",
     nullptr,
     "layers.{}.self_attn.q_proj",
     "layers.{}.self_attn.k_proj",
     "layers.{}.self_attn.v_proj",
     "layers.{}.self_attn.out_proj",
     "layers.{}.fc1",
     nullptr,
     "layers.{}.fc2",
     nullptr,
     nullptr},
    {"bloom",
     {"transformer.", "", nullptr, nullptr},
     "word_embeddings",
     nullptr,
     "word_embeddings_layernorm",
     nullptr,
     nullptr,
     "ln_f",
     "lm_head",
     "h.{}.input_layernorm",
     "h.{}.post_attention_layernorm",
     "h.{}.self_attention.query_key_value",
     nullptr,
     nullptr,
     nullptr,
     "h.{}.self_attention.dense",
     "h.{}.mlp.dense_h_to_4h",
     nullptr,
     "h.{}.mlp.dense_4h_to_h",
     nullptr,
     nullptr,
     Fusion::by_head},
    {"llama",
     {"model.", "", nullptr, nullptr},
     "embed_tokens",
     nullptr,
     nullptr,
     nullptr,
     nullptr,
     "norm",
     "lm_head",
     "layers.{}.input_layernorm",
     "layers.{}.post_attention_layernorm",
     nullptr,
     "layers.{}.self_attn.q_proj",
     "layers.{}.self_attn.k_proj",
     "layers.{}.self_attn.v_proj",
     "layers.{}.self_attn.o_proj",
     "layers.{}.mlp.up_proj",
     "layers.{}.mlp.gate_proj",
     "layers.{}.mlp.down_proj",
     "layers.{}.self_attn.q_norm",
     "layers.{}.self_attn.k_norm"},
    {"gguf",
     {"", nullptr, nullptr, nullptr},
     "token_embd",
     "position_embd",
     "token_embd_norm",
     "project_in",
     "project_out",
     "output_norm",
     "output",
     "blk.{}.attn_norm",
     "blk.{}.ffn_norm",
     "blk.{}.attn_qkv",
     "blk.{}.attn_q",
     "blk.{}.attn_k",
     "blk.{}.attn_v",
     "blk.{}.attn_output",
     "blk.{}.ffn_up",
     "blk.{}.ffn_gate",
     "blk.{}.ffn_down",
     "blk.{}.attn_q_norm",
     "blk.{}.attn_k_norm",
     Fusion::thirds},
};

const char* name_of(const Names& n, Part part) {
  switch (part) {
    case Part::embedding:
      return n.embedding;
    case Part::positions:
      return n.positions;
    case Part::embedding_norm:
      return n.embedding_norm;
    case Part::project_in:
      return n.project_in;
    case Part::project_out:
      return n.project_out;
    case Part::last_norm:
      return n.last_norm;
    case Part::head:
      return n.head;
    case Part::norm1:
      return n.norm1;
    case Part::norm2:
      return n.norm2;
    case Part::q:
      return n.q;
    case Part::k:
      return n.k;
    case Part::v:
      return n.v;
    case Part::output:
      return n.output;
    case Part::up:
      return n.up;
    case Part::gate:
      return n.gate;
    case Part::down:
      return n.down;
    case Part::q_norm:
      return n.q_norm;
    case Part::k_norm:
      return n.k_norm;
    case Part::rope_factors:
      return "rope_freqs";
  }
  return nullptr;
}

bool of_layer(Part part) { return part >= Part::norm1 && part != Part::rope_factors; }

std::string file_of(const Checkpoint& c) { return c.files.empty() ? "the checkpoint" : c.files[0].string(); }

// Buffers that hold no parameters: masks, and frequencies that the config gives.
bool is_buffer(std::string_view name) {
  for (const char* end : {".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias",
                          "rotary_emb.inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

}  // namespace

struct Tensors::Place {
  const StoredTensor* tensor;
  std::optional<std::size_t> third;  // of a fused one
};

void Tensors::fail(const std::string& what) const {
  throw std::runtime_error(fmt::format("{}: {}", file_of(checkpoint_), what));
}

Tensors::Tensors(const Checkpoint& checkpoint, const Shape& shape) : checkpoint_(checkpoint), shape_(shape) {
  const std::string family = checkpoint.format == "gguf" || checkpoint.format == "random" ? "gguf"
                             : shape.family == "gpt-neox"                                 ? "gpt_neox"
                             : shape.norm == Norm::Kind::rms                              ? "llama"
                                                                                          : shape.family;
  for (const Names& names : kNames) {
    if (names.name == family) names_ = &names;
  }
  if (names_ == nullptr) throw std::logic_error("a family without names");
  std::string tried;
  for (const char* prefix : names_->prefixes) {
    if (prefix == nullptr) break;
    const std::string name = fmt::format("{}{}.weight", prefix, names_->embedding);
    if (checkpoint.find(name) != nullptr) {
      prefix_ = prefix;
      return;
    }
    tried += (tried.empty() ? "" : ", ") + name;
  }
  fail(fmt::format("has no embedding of a {} model (looked for {})", shape.family, tried));
}

std::optional<Tensors::Place> Tensors::place(Part part, std::size_t layer, const char* what) const {
  const auto find = [&](const char* name) -> const StoredTensor* {
    if (name == nullptr) return nullptr;
    const std::string full = (part == Part::head ? "" : prefix_) + fmt::format(fmt::runtime(name), layer);
    return checkpoint_.find(fmt::format("{}.{}", full, what));
  };
  if (const StoredTensor* own = find(name_of(*names_, part))) return Place{own, std::nullopt};
  if (part == Part::q || part == Part::k || part == Part::v) {
    if (const StoredTensor* all = find(names_->qkv)) {
      return Place{all, static_cast<std::size_t>(part) - static_cast<std::size_t>(Part::q)};
    }
  }
  return std::nullopt;
}

bool Tensors::has(Part part, std::size_t layer, const char* what) const {
  return place(part, layer, what).has_value();
}

// One of q, k and v out of a tensor [all outputs, …]: a view.
StoredTensor Tensors::fused(StoredTensor tensor, std::size_t third) const {
  const std::size_t heads = shape_.heads, size = shape_.head_size;
  std::vector<std::size_t> inputs(tensor.shape.begin() + 1, tensor.shape.end());
  if (shape_.kv_heads != heads || tensor.shape[0] != 3 * heads * size) {
    fail(fmt::format("tensor '{}' has {} outputs, not {} for q, k and v", tensor.name, tensor.shape[0],
                     3 * heads * size));
  }
  // Splitting the first dimension needs no contiguous tensor.
  const auto stride = tensor.strides[0];
  const auto width = static_cast<std::ptrdiff_t>(size);
  tensor.shape.erase(tensor.shape.begin());
  tensor.strides.erase(tensor.strides.begin());
  if (names_->fusion == Fusion::by_head) {
    tensor.shape.insert(tensor.shape.begin(), {3, heads, size});
    tensor.strides.insert(tensor.strides.begin(), {width * stride, 3 * width * stride, stride});
  } else {
    tensor.shape.insert(tensor.shape.begin(), {3, heads * size});
    tensor.strides.insert(tensor.strides.begin(),
                          {static_cast<std::ptrdiff_t>(heads) * width * stride, stride});
  }
  return tensor.slice(third);
}

StoredTensor Tensors::stored(Part part, std::size_t layer, const char* what) const {
  const auto found = place(part, layer, what);
  if (!found) {
    const char* name = name_of(*names_, part);
    if (name == nullptr) name = names_->qkv;
    if (name == nullptr) throw std::logic_error("a part that the family does not have");
    fail(fmt::format("has no tensor '{}{}.{}'", part == Part::head ? "" : prefix_,
                     fmt::format(fmt::runtime(name), layer), what));
  }
  read_.insert(found->tensor->name);
  StoredTensor tensor = *found->tensor;
  if (names_->transposed && of_layer(part) && tensor.shape.size() == 2) tensor = tensor.transposed();
  return found->third ? fused(std::move(tensor), *found->third) : tensor;
}

StoredTensor Tensors::matrix(Part part, std::size_t outputs, std::size_t inputs, std::size_t layer) const {
  StoredTensor tensor = stored(part, layer, "weight");
  std::size_t rows = 1;
  for (std::size_t i = 0; i + 1 < tensor.shape.size(); ++i) rows *= tensor.shape[i];
  if (tensor.shape.size() < 2 || rows != outputs || tensor.shape.back() != inputs) {
    fail(fmt::format("tensor '{}' has shape {}, but {} x {} is what the model's sizes ask for", tensor.name,
                     tensor.shape, outputs, inputs));
  }
  return tensor;
}

std::vector<float> Tensors::vector(Part part, std::size_t size, const char* what, std::size_t layer) const {
  const StoredTensor tensor = stored(part, layer, what);
  if (tensor.elements() != size) {
    fail(fmt::format("tensor '{}' has {} values instead of {}", tensor.name, tensor.elements(), size));
  }
  return tensor.read_all();
}

void Tensors::refuse_unread() const {
  std::vector<std::string> unread;
  for (const StoredTensor& tensor : checkpoint_.tensors) {
    // A tied head may lie in the file beside the embedding that stands for it.
    const bool tied_head = shape_.tied && tensor.name == fmt::format("{}.weight", names_->head);
    if (!read_.contains(tensor.name) && !is_buffer(tensor.name) && !tied_head) unread.push_back(tensor.name);
  }
  if (unread.empty()) return;
  const std::size_t count = unread.size();
  if (count > 3) unread.resize(3);
  fail(fmt::format("has {} tensors that a {} model does not use ({}{}): it computes something else", count,
                   shape_.family, fmt::join(unread, ", "), count > 3 ? ", ..." : ""));
}

}  // namespace deciban::transformer
