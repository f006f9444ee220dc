// Writers of RWKV models in the formats that others made of the official one, following the formats'
// descriptions.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/checkpoint.h"
#include "tests/engine/checkpoint_files.h"

namespace deciban::testing_files {

// What the engine makes of a decay; rounding of exp(-exp(…)) in f32 loses bits of the raw value that do not
// matter.
inline double effective_decay(float raw) { return std::exp(-std::exp(static_cast<double>(raw))); }

inline WrittenTensor written(const StoredTensor& tensor, std::string name) {
  return f32_tensor(std::move(name), tensor.shape, tensor.read_all());
}
inline WrittenTensor turned(const StoredTensor& tensor, std::string name) {
  return written(tensor.transposed(), std::move(name));
}

// "blocks.3.att.key.weight" → 3, "att.key.weight"; top-level names have no block.
inline std::pair<std::optional<std::size_t>, std::string> parts(const std::string& name) {
  if (name.rfind("blocks.", 0) != 0) return {std::nullopt, name};
  const std::size_t dot = name.find('.', 7);
  return {std::stoul(name.substr(7, dot - 7)), name.substr(dot + 1)};
}

inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

// rwkv6 → GGUF as llama.cpp's converter does it, dividing two matrices by 2^(block div rescale).
inline std::string gguf6(const Checkpoint& official, std::uint32_t rescale, bool fused) {
  const std::map<std::string, std::string> names = {
      {"ln1.weight", "attn_norm.weight"},
      {"ln1.bias", "attn_norm.bias"},
      {"ln2.weight", "attn_norm_2.weight"},
      {"ln2.bias", "attn_norm_2.bias"},
      {"att.receptance.weight", "time_mix_receptance.weight"},
      {"att.key.weight", "time_mix_key.weight"},
      {"att.value.weight", "time_mix_value.weight"},
      {"att.output.weight", "time_mix_output.weight"},
      {"att.gate.weight", "time_mix_gate.weight"},
      {"att.ln_x.weight", "time_mix_ln.weight"},
      {"att.ln_x.bias", "time_mix_ln.bias"},
      {"att.time_maa_x", "time_mix_lerp_x.weight"},
      {"att.time_maa_w", "time_mix_lerp_w.weight"},
      {"att.time_maa_k", "time_mix_lerp_k.weight"},
      {"att.time_maa_v", "time_mix_lerp_v.weight"},
      {"att.time_maa_r", "time_mix_lerp_r.weight"},
      {"att.time_maa_g", "time_mix_lerp_g.weight"},
      {"att.time_maa_w1", "time_mix_w1.weight"},
      {"att.time_maa_w2", "time_mix_w2.weight"},
      {"att.time_decay", "time_mix_decay.weight"},
      {"att.time_decay_w1", "time_mix_decay_w1.weight"},
      {"att.time_decay_w2", "time_mix_decay_w2.weight"},
      {"att.time_faaaa", "time_mix_first.weight"},
      {"ffn.time_maa_k", "channel_mix_lerp_k.weight"},
      {"ffn.time_maa_r", "channel_mix_lerp_r.weight"},
      {"ffn.key.weight", "channel_mix_key.weight"},
      {"ffn.receptance.weight", "channel_mix_receptance.weight"},
      {"ffn.value.weight", "channel_mix_value.weight"},
      {"emb.weight", "token_embd.weight"},
      {"ln0.weight", "token_embd_norm.weight"},
      {"ln0.bias", "token_embd_norm.bias"},
      {"ln_out.weight", "output_norm.weight"},
      {"ln_out.bias", "output_norm.bias"},
      {"head.weight", "output.weight"}};
  std::vector<WrittenTensor> tensors;
  std::map<std::size_t, WrittenTensor> stacks;
  for (const StoredTensor& tensor : official.tensors) {
    const auto [block, leaf] = parts(tensor.name);
    const bool top = !block || leaf.rfind("ln0", 0) == 0;
    const std::string name = (top ? "" : "blk." + std::to_string(*block) + ".") + names.at(leaf);
    const bool lora = leaf.ends_with("_w1") || leaf.ends_with("_w2");
    if (lora) {
      tensors.push_back(turned(tensor, name));
    } else if (leaf == "att.output.weight" || leaf == "ffn.value.weight") {
      StoredTensor divided = tensor;
      if (rescale > 0) divided.scale = std::ldexp(1.0f, -static_cast<int>(*block / rescale));
      tensors.push_back(written(divided, name));
    } else if (fused && leaf.rfind("att.time_maa_", 0) == 0 && leaf != "att.time_maa_x") {
      // In the official order of keys, which is the fused order too: w, k, v, r, g.
      auto& stack = stacks[*block];
      stack.name = "blk." + std::to_string(*block) + ".time_mix_lerp_fused.weight";
      stack.shape = {5, 1, 1, tensor.elements()};
      stack.data += written(tensor, "").data;
    } else {
      tensors.push_back(written(tensor, name));
    }
  }
  for (const auto& [block, stack] : stacks) tensors.push_back(stack);
  return gguf_file({gguf_text("general.architecture", "rwkv6"),
                    gguf_u32("rwkv6.rescale_every_n_layers", rescale), gguf_u32("rwkv6.wkv.head_size", 64)},
                   tensors);
}

// rwkv.cpp's pre-transforms for versions without a golden file.
inline std::string ggmf(const Checkpoint& official, bool v6) {
  std::vector<WrittenTensor> tensors;
  for (const StoredTensor& tensor : official.tensors) {
    const std::string leaf = parts(tensor.name).second;
    WrittenTensor converted = written(tensor, tensor.name);
    std::vector<float> values = tensor.read_all();
    if (v6 && (leaf == "att.time_decay" || leaf == "att.time_faaaa")) {
      converted.shape = {2, 64, 1};
    } else if (v6 && (leaf.ends_with("_w1") || leaf.ends_with("_w2"))) {
      converted = turned(tensor, tensor.name);
    } else if (!v6 && (leaf == "att.time_decay" || leaf == "att.time_first")) {
      for (float& value : values) {
        value = static_cast<float>(leaf == "att.time_first" ? std::exp(static_cast<double>(value))
                                                            : effective_decay(value));
      }
      converted = f32_tensor(tensor.name, {values.size(), 1, 1}, values);
    } else if (!v6 && leaf == "att.time_faaaa") {
      converted.shape = {values.size(), 1, 1};
    }
    tensors.push_back(converted);
  }
  return rwkvcpp_file(tensors);
}

// web-rwkv: lower case (all names are), time_maa → time_mix, time_faaaa → time_first, LoRA matrices
// transposed.
inline std::vector<WrittenTensor> web(const Checkpoint& official) {
  std::vector<WrittenTensor> tensors;
  for (const StoredTensor& tensor : official.tensors) {
    const std::string name =
        replaced(replaced(tensor.name, "time_faaaa", "time_first"), "time_maa", "time_mix");
    const std::string leaf = parts(tensor.name).second;
    const bool lora = leaf.size() == 6 && leaf.rfind("att.", 0) == 0 && (leaf[5] == '1' || leaf[5] == '2');
    const bool lora6 = leaf.ends_with("_w1") || leaf.ends_with("_w2");
    tensors.push_back(lora || lora6 || leaf == "att.time_state" ? turned(tensor, name)
                                                                : written(tensor, name));
  }
  return tensors;
}

}  // namespace deciban::testing_files
