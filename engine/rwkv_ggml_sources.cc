// What rwkv.cpp and llama.cpp made of the official tensors, undone.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>

#include "engine/mapped_file.h"
#include "engine/rwkv_renaming.h"
#include "engine/rwkv_sources.h"

namespace deciban::rwkv_renaming {
namespace {

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
double clamped_log(double x) { return x < 0 ? std::nan("") : std::max(std::log(x), -104.0); }
double clamped_log_minus_log(double x) {
  if (!(x >= 0 && x <= 1)) return std::nan("");
  return std::clamp(std::log(-std::log(x)), -18.0, 4.7);
}

}  // namespace

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

namespace {

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

}  // namespace

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

}  // namespace deciban::rwkv_renaming
