#include "engine/rwkv_sources.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>
#include <optional>
#include <stdexcept>

#include "engine/mapped_file.h"

namespace deciban {
namespace {

using Tensors = std::vector<StoredTensor>;

struct Renaming {
  std::string_view from, to;
};

template <std::size_t size>
std::optional<std::string_view> renamed(const std::array<Renaming, size>& table, std::string_view name) {
  for (const Renaming& entry : table) {
    if (entry.from == name) return entry.to;
  }
  return std::nullopt;
}

bool is_lora_matrix(std::string_view leaf) {
  constexpr std::array<std::string_view, 12> kLeaves = {"att.w1",
                                                        "att.w2",
                                                        "att.a1",
                                                        "att.a2",
                                                        "att.v1",
                                                        "att.v2",
                                                        "att.g1",
                                                        "att.g2",
                                                        "att.time_maa_w1",
                                                        "att.time_maa_w2",
                                                        "att.time_decay_w1",
                                                        "att.time_decay_w2"};
  return std::find(kLeaves.begin(), kLeaves.end(), leaf) != kLeaves.end();
}

void add(Tensors& tensors, StoredTensor tensor, std::string name) {
  tensor.name = std::move(name);
  tensors.push_back(std::move(tensor));
}

std::string block_name(std::size_t block, std::string_view leaf) {
  return fmt::format("blocks.{}.{}", block, leaf);
}

[[noreturn]] void fail(const Checkpoint& checkpoint, std::string_view reason) {
  throw std::runtime_error(fmt::format("{}: {}", file_of(checkpoint), reason));
}

// A stack [n, …] of vectors as n tensors.
void add_stack(const Checkpoint& checkpoint, Tensors& tensors, const StoredTensor& stack, std::size_t block,
               std::initializer_list<std::string_view> leaves) {
  if (stack.shape.empty() || stack.shape[0] != leaves.size()) {
    fail(checkpoint, fmt::format("tensor {} of shape {}: a stack of {} vectors is needed",
                                 in_quotes(stack.name), stack.shape, leaves.size()));
  }
  std::size_t i = 0;
  for (const std::string_view leaf : leaves) add(tensors, stack.slice(i++), block_name(block, leaf));
}

StoredTensor transposed(const Checkpoint& checkpoint, const StoredTensor& tensor) {
  if (tensor.shape.size() < 2) {
    fail(checkpoint,
         fmt::format("tensor {} of shape {}: a matrix is needed", in_quotes(tensor.name), tensor.shape));
  }
  return tensor.transposed();
}

Tensors from_official(const Checkpoint& checkpoint) {
  return checkpoint.tensors;
}

Tensors from_hugging_face(const Checkpoint& checkpoint) {
  constexpr std::array<Renaming, 5> kTop = {{{"rwkv.embeddings.weight", "emb.weight"},
                                             {"rwkv.ln_out.weight", "ln_out.weight"},
                                             {"rwkv.ln_out.bias", "ln_out.bias"},
                                             {"rwkv.blocks.0.pre_ln.weight", "blocks.0.ln0.weight"},
                                             {"rwkv.blocks.0.pre_ln.bias", "blocks.0.ln0.bias"}}};
  constexpr std::array<Renaming, 8> kLeaf = {{{"time_mix_key", "time_mix_k"},
                                              {"time_mix_value", "time_mix_v"},
                                              {"time_mix_receptance", "time_mix_r"},
                                              {"time_mix_gate", "time_mix_g"},
                                              {"time_maa_key", "time_maa_k"},
                                              {"time_maa_value", "time_maa_v"},
                                              {"time_maa_receptance", "time_maa_r"},
                                              {"time_maa_gate", "time_maa_g"}}};
  Tensors result;
  for (const StoredTensor& tensor : checkpoint.tensors) {
    std::size_t block;
    std::string_view rest;
    if (const auto top = renamed(kTop, tensor.name)) {
      add(result, tensor, std::string(*top));
    } else if (split_block_name(tensor.name, "rwkv.blocks.", block, rest)) {
      std::string_view module = rest.substr(0, rest.find('.'));
      const std::string_view leaf = rest.substr(std::min(module.size() + 1, rest.size()));
      if (module == "attention") module = "att";
      if (module == "feed_forward") module = "ffn";
      add(result, tensor,
          block_name(block, fmt::format("{}.{}", module, renamed(kLeaf, leaf).value_or(leaf))));
    } else {
      result.push_back(tensor);  // head.weight
    }
  }
  return result;
}

Tensors from_fla(const Checkpoint& checkpoint) {
  constexpr std::array<Renaming, 6> kTop = {{{"model.embeddings.weight", "emb.weight"},
                                             {"lm_head.weight", "head.weight"},
                                             {"model.norm.weight", "ln_out.weight"},
                                             {"model.norm.bias", "ln_out.bias"},
                                             {"model.layers.0.pre_norm.weight", "blocks.0.ln0.weight"},
                                             {"model.layers.0.pre_norm.bias", "blocks.0.ln0.bias"}}};
  constexpr std::array<Renaming, 30> kLeaf = {{{"attn_norm.weight", "ln1.weight"},
                                               {"attn_norm.bias", "ln1.bias"},
                                               {"ffn_norm.weight", "ln2.weight"},
                                               {"ffn_norm.bias", "ln2.bias"},
                                               {"attn.r_proj.weight", "att.receptance.weight"},
                                               {"attn.k_proj.weight", "att.key.weight"},
                                               {"attn.v_proj.weight", "att.value.weight"},
                                               {"attn.o_proj.weight", "att.output.weight"},
                                               {"attn.g_norm.weight", "att.ln_x.weight"},
                                               {"attn.g_norm.bias", "att.ln_x.bias"},
                                               {"attn.x_r", "att.x_r"},
                                               {"attn.x_w", "att.x_w"},
                                               {"attn.x_k", "att.x_k"},
                                               {"attn.x_v", "att.x_v"},
                                               {"attn.x_a", "att.x_a"},
                                               {"attn.x_g", "att.x_g"},
                                               {"attn.k_k", "att.k_k"},
                                               {"attn.k_a", "att.k_a"},
                                               {"attn.r_k", "att.r_k"},
                                               {"attn.w_lora.lora.2.bias", "att.w0"},
                                               {"attn.w_lora.lora.0.weight", "att.w1"},
                                               {"attn.w_lora.lora.2.weight", "att.w2"},
                                               {"attn.a_lora.lora.2.bias", "att.a0"},
                                               {"attn.a_lora.lora.0.weight", "att.a1"},
                                               {"attn.a_lora.lora.2.weight", "att.a2"},
                                               {"attn.v_lora.lora.2.bias", "att.v0"},
                                               {"attn.v_lora.lora.0.weight", "att.v1"},
                                               {"attn.v_lora.lora.2.weight", "att.v2"},
                                               {"attn.g_lora.lora.0.weight", "att.g1"},
                                               {"attn.g_lora.lora.2.weight", "att.g2"}}};
  Tensors result;
  for (const StoredTensor& tensor : checkpoint.tensors) {
    std::size_t block;
    std::string_view rest;
    if (const auto top = renamed(kTop, tensor.name)) {
      add(result, tensor, std::string(*top));
    } else if (!split_block_name(tensor.name, "model.layers.", block, rest)) {
      result.push_back(tensor);
    } else if (rest == "attn.x_x") {
      add_stack(checkpoint, result, tensor, block,
                {"att.x_r", "att.x_w", "att.x_k", "att.x_v", "att.x_a", "att.x_g"});
    } else {
      const std::string_view leaf = renamed(kLeaf, rest).value_or(rest);  // ffn.* has the official names
      add(result, is_lora_matrix(leaf) ? transposed(checkpoint, tensor) : tensor, block_name(block, leaf));
    }
  }
  return result;
}

Tensors from_rwkv7_hf(const Checkpoint& checkpoint) {
  constexpr std::array<Renaming, 8> kTop = {{{"model.embeddings.weight", "emb.weight"},
                                             {"model.emb.weight", "emb.weight"},
                                             {"lm_head.weight", "head.weight"},
                                             {"model.head.weight", "head.weight"},
                                             {"model.ln_out.weight", "ln_out.weight"},
                                             {"model.ln_out.bias", "ln_out.bias"},
                                             {"model.pre_ln.weight", "blocks.0.ln0.weight"},
                                             {"model.pre_ln.bias", "blocks.0.ln0.bias"}}};
  constexpr std::array<Renaming, 3> kModule = {
      {{"attention", "att"}, {"feed_forward", "ffn"}, {"pre_ln", "ln0"}}};
  Tensors result;
  for (const StoredTensor& tensor : checkpoint.tensors) {
    std::size_t block;
    std::string_view rest;
    if (const auto top = renamed(kTop, tensor.name)) {
      add(result, tensor, std::string(*top));
    } else if (split_block_name(tensor.name, "model.layers.", block, rest)) {
      const std::string_view module = rest.substr(0, rest.find('.'));
      const std::string_view leaf = rest.substr(module.size());
      add(result, tensor,
          block_name(block, fmt::format("{}{}", renamed(kModule, module).value_or(module), leaf)));
    } else {
      result.push_back(tensor);
    }
  }
  return result;
}

// Official name of a tensor of a web-rwkv file; v6 files are told by time_mix_w1.
std::string from_web_rwkv_name(std::string_view rest, bool v6) {
  constexpr std::string_view kMix = "time_mix_";
  const std::size_t mix = rest.find(kMix);
  if (!v6 || mix == std::string_view::npos) return std::string(rest);
  return fmt::format("{}time_maa_{}", rest.substr(0, mix), rest.substr(mix + kMix.size()));
}

Tensors from_web_rwkv(const Checkpoint& checkpoint) {
  const bool v6 = checkpoint.find("blocks.0.att.time_mix_w1") != nullptr;
  Tensors result;
  for (const StoredTensor& tensor : checkpoint.tensors) {
    std::size_t block;
    std::string_view rest;
    if (!split_block_name(tensor.name, "blocks.", block, rest)) {
      result.push_back(tensor);
      continue;
    }
    const std::string leaf = from_web_rwkv_name(rest, v6);
    const bool turned = is_lora_matrix(leaf) || leaf == "att.time_state";
    add(result, turned ? transposed(checkpoint, tensor) : tensor, block_name(block, leaf));
  }
  return result;
}

// The inverse of what rwkv.cpp's converter did to each value; refuses values it cannot have made.
StoredTensor undone(const Checkpoint& checkpoint, const StoredTensor& tensor,
                    const std::function<double(double)>& inverse) {
  std::vector<float> values = tensor.read_all();
  for (float& value : values) {
    const double before = inverse(value);
    if (std::isnan(before)) {
      fail(checkpoint, fmt::format("tensor {} holds {}, which rwkv.cpp's converter cannot have made",
                                   in_quotes(tensor.name), value));
    }
    value = static_cast<float>(before);
  }
  return owned_tensor(tensor.name, tensor.shape, std::move(values));
}

// Beyond these, exp(…) and exp(-exp(…)) are 0 or 1 in f32 whatever the exact value was.
double clamped_log(double x) {
  return x < 0 ? std::nan("") : std::max(std::log(x), -104.0);
}
double clamped_log_minus_log(double x) {
  if (!(x >= 0 && x <= 1)) return std::nan("");
  return std::clamp(std::log(-std::log(x)), -18.0, 4.7);
}

Tensors from_rwkvcpp(const Checkpoint& checkpoint) {
  const auto any = [&](std::string_view suffix) {
    return std::any_of(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                       [&](const StoredTensor& tensor) { return tensor.name.ends_with(suffix); });
  };
  const bool v6 = any(".att.time_maa_x"), v4 = !any(".att.ln_x.weight");
  Tensors result;
  for (const StoredTensor& tensor : checkpoint.tensors) {
    std::size_t block;
    std::string_view leaf;
    if (!split_block_name(tensor.name, "blocks.", block, leaf)) {
      result.push_back(tensor);
    } else if (leaf == "att.x_rwkvag") {
      add_stack(checkpoint, result, tensor, block,
                {"att.x_r", "att.x_w", "att.x_k", "att.x_v", "att.x_a", "att.x_g"});
    } else if (is_lora_matrix(leaf)) {
      result.push_back(transposed(checkpoint, tensor));
    } else if (leaf == "att.time_decay" && v4) {
      result.push_back(undone(checkpoint, tensor, [](double w) { return clamped_log(-w); }));
    } else if (leaf == "att.time_decay" && !v6) {
      result.push_back(undone(checkpoint, tensor, clamped_log_minus_log));
    } else if (leaf == "att.time_first" && !v4) {
      result.push_back(undone(checkpoint, tensor, clamped_log));
    } else {
      result.push_back(tensor);
    }
  }
  return result;
}

std::size_t number_in(const Checkpoint& checkpoint, const std::string& key, std::size_t otherwise) {
  const auto found = checkpoint.metadata.find(key);
  if (found == checkpoint.metadata.end()) return otherwise;
  const std::string& text = found->second;
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail(checkpoint, fmt::format("metadata {} is {}, not a number", key, in_quotes(text)));
  }
  return number;
}

Tensors from_gguf(const Checkpoint& checkpoint) {
  constexpr std::array<Renaming, 6> kTop = {{{"token_embd.weight", "emb.weight"},
                                             {"token_embd_norm.weight", "blocks.0.ln0.weight"},
                                             {"token_embd_norm.bias", "blocks.0.ln0.bias"},
                                             {"output_norm.weight", "ln_out.weight"},
                                             {"output_norm.bias", "ln_out.bias"},
                                             {"output.weight", "head.weight"}}};
  constexpr std::array<Renaming, 14> kBoth = {{{"attn_norm.weight", "ln1.weight"},
                                               {"attn_norm.bias", "ln1.bias"},
                                               {"attn_norm_2.weight", "ln2.weight"},
                                               {"attn_norm_2.bias", "ln2.bias"},
                                               {"time_mix_receptance.weight", "att.receptance.weight"},
                                               {"time_mix_key.weight", "att.key.weight"},
                                               {"time_mix_value.weight", "att.value.weight"},
                                               {"time_mix_output.weight", "att.output.weight"},
                                               {"time_mix_gate.weight", "att.gate.weight"},
                                               {"time_mix_ln.weight", "att.ln_x.weight"},
                                               {"time_mix_ln.bias", "att.ln_x.bias"},
                                               {"channel_mix_key.weight", "ffn.key.weight"},
                                               {"channel_mix_receptance.weight", "ffn.receptance.weight"},
                                               {"channel_mix_value.weight", "ffn.value.weight"}}};
  constexpr std::array<Renaming, 14> kSix = {{{"time_mix_lerp_x.weight", "att.time_maa_x"},
                                              {"time_mix_lerp_w.weight", "att.time_maa_w"},
                                              {"time_mix_lerp_k.weight", "att.time_maa_k"},
                                              {"time_mix_lerp_v.weight", "att.time_maa_v"},
                                              {"time_mix_lerp_r.weight", "att.time_maa_r"},
                                              {"time_mix_lerp_g.weight", "att.time_maa_g"},
                                              {"time_mix_w1.weight", "att.time_maa_w1"},
                                              {"time_mix_w2.weight", "att.time_maa_w2"},
                                              {"time_mix_decay.weight", "att.time_decay"},
                                              {"time_mix_decay_w1.weight", "att.time_decay_w1"},
                                              {"time_mix_decay_w2.weight", "att.time_decay_w2"},
                                              {"time_mix_first.weight", "att.time_faaaa"},
                                              {"channel_mix_lerp_k.weight", "ffn.time_maa_k"},
                                              {"channel_mix_lerp_r.weight", "ffn.time_maa_r"}}};
  constexpr std::array<Renaming, 15> kSeven = {{{"time_mix_w0.weight", "att.w0"},
                                                {"time_mix_w1.weight", "att.w1"},
                                                {"time_mix_w2.weight", "att.w2"},
                                                {"time_mix_a0.weight", "att.a0"},
                                                {"time_mix_a1.weight", "att.a1"},
                                                {"time_mix_a2.weight", "att.a2"},
                                                {"time_mix_v0.weight", "att.v0"},
                                                {"time_mix_v1.weight", "att.v1"},
                                                {"time_mix_v2.weight", "att.v2"},
                                                {"time_mix_g1.weight", "att.g1"},
                                                {"time_mix_g2.weight", "att.g2"},
                                                {"time_mix_k_k.weight", "att.k_k"},
                                                {"time_mix_k_a.weight", "att.k_a"},
                                                {"time_mix_r_k.weight", "att.r_k"},
                                                {"channel_mix_lerp_k.weight", "ffn.x_k"}}};

  const std::string& architecture = checkpoint.metadata.at("general.architecture");
  const bool v7 = architecture == "rwkv7";
  const std::size_t rescale = v7 ? 0 : number_in(checkpoint, architecture + ".rescale_every_n_layers", 0);
  const std::size_t head_size = number_in(checkpoint, architecture + ".wkv.head_size", 64);
  Tensors result;
  for (const StoredTensor& tensor : checkpoint.tensors) {
    std::size_t block;
    std::string_view rest;
    if (const auto top = renamed(kTop, tensor.name)) {
      add(result, tensor, std::string(*top));
      continue;
    }
    if (!split_block_name(tensor.name, "blk.", block, rest)) {
      result.push_back(tensor);
      continue;
    }
    if (rest == "time_mix_lerp_fused.weight") {
      if (v7) {
        add_stack(checkpoint, result, tensor, block,
                  {"att.x_r", "att.x_w", "att.x_k", "att.x_v", "att.x_a", "att.x_g"});
      } else {
        add_stack(checkpoint, result, tensor, block,
                  {"att.time_maa_w", "att.time_maa_k", "att.time_maa_v", "att.time_maa_r", "att.time_maa_g"});
      }
      continue;
    }
    auto leaf = renamed(kBoth, rest);
    if (!leaf) leaf = v7 ? renamed(kSeven, rest) : renamed(kSix, rest);
    if (!leaf) leaf = rest;  // reported as a stranger by rwkv_shape
    // Block 0 mixes no values: these are copies of a0…a2 that llama.cpp never uses.
    if (v7 && block == 0 && (*leaf == "att.v0" || *leaf == "att.v1" || *leaf == "att.v2")) continue;
    StoredTensor official = is_lora_matrix(*leaf) ? transposed(checkpoint, tensor) : tensor;
    if (*leaf == "att.r_k" && head_size > 0 && tensor.elements() % head_size == 0) {
      official = official.reshaped({tensor.elements() / head_size, head_size});
    }
    if (rescale > 0 && (*leaf == "att.output.weight" || *leaf == "ffn.value.weight")) {
      official.scale *= std::ldexp(1.0f, static_cast<int>(std::min<std::size_t>(block / rescale, 64)));
    }
    add(result, std::move(official), block_name(block, *leaf));
  }
  return result;
}

}  // namespace

std::string file_of(const Checkpoint& checkpoint) {
  return checkpoint.files.empty() ? "checkpoint" : checkpoint.files[0].string();
}

bool split_block_name(std::string_view name, std::string_view prefix, std::size_t& block,
                      std::string_view& rest) {
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  const std::size_t dot = name.find('.');
  // Canonical numbers only, so that no two names mean one tensor.
  if (dot == 0 || dot > 5 || dot == std::string_view::npos || (dot > 1 && name[0] == '0')) return false;
  const auto [end, error] = std::from_chars(name.data(), name.data() + dot, block);
  if (error != std::errc() || end != name.data() + dot) return false;
  rest = name.substr(dot + 1);
  return true;
}

std::vector<StoredTensor> with_official_names(const Checkpoint& checkpoint, RwkvSource source) {
  switch (source) {
    case RwkvSource::official:
      return from_official(checkpoint);
    case RwkvSource::web_rwkv:
      return from_web_rwkv(checkpoint);
    case RwkvSource::hugging_face:
      return from_hugging_face(checkpoint);
    case RwkvSource::fla:
      return from_fla(checkpoint);
    case RwkvSource::rwkv7_hf:
      return from_rwkv7_hf(checkpoint);
    case RwkvSource::rwkvcpp:
      return from_rwkvcpp(checkpoint);
    case RwkvSource::gguf:
      return from_gguf(checkpoint);
  }
  throw std::logic_error("unknown source of an RWKV checkpoint");
}

}  // namespace deciban
