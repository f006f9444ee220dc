#include "engine/rwkv_sources.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <stdexcept>

#include "engine/rwkv_renaming.h"

namespace deciban {
namespace {

using rwkv_renaming::add;
using rwkv_renaming::add_stack;
using rwkv_renaming::block_name;
using rwkv_renaming::is_lora_matrix;
using rwkv_renaming::renamed;
using rwkv_renaming::Renaming;
using rwkv_renaming::Tensors;
using rwkv_renaming::transposed;

Tensors from_official(const Checkpoint& checkpoint) { return checkpoint.tensors; }

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
      return rwkv_renaming::from_rwkvcpp(checkpoint);
    case RwkvSource::gguf:
      return rwkv_renaming::from_gguf(checkpoint);
  }
  throw std::logic_error("unknown source of an RWKV checkpoint");
}

}  // namespace deciban
