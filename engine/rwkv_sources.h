// Where an RWKV checkpoint comes from, told by its names, and the renaming that each source needs.
// rwkv_names.cc joins these with what all sources have in common.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/checkpoint.h"

namespace deciban {

enum class RwkvSource {
  official,  // BlinkDL's names: blocks.0.att.key.weight
  web_rwkv,  // the same in lower case, time_maa → time_mix, time_faaaa → time_first, LoRA matrices transposed
  hugging_face,  // RwkvForCausalLM (4) and the remote code of 5 and 6: rwkv.blocks.0.attention.key.weight
  fla,           // flash-linear-attention's RWKV7ForCausalLM: model.layers.0.attn.k_proj.weight
  rwkv7_hf,      // Rwkv7ForCausalLM: model.layers.0.attention.key.weight
  rwkvcpp,       // official names, some values transformed
  gguf           // llama.cpp's rwkv6 and rwkv7: blk.0.time_mix_key.weight
};

// Throws std::runtime_error for what is not an RWKV-4..7 text model, saying what it is where that can be
// told.
RwkvSource rwkv_source(const Checkpoint& checkpoint);

// Official names, matrices the official way round, stored transforms undone; shapes may still have unit
// dimensions. Tensors that stand in for none of the official ones (GGUF's dummies) are left out.
std::vector<StoredTensor> with_official_names(const Checkpoint& checkpoint, RwkvSource source);

// "blocks.12.att.w1", "blocks.", → 12 and "att.w1"; false if the name has another form.
bool split_block_name(std::string_view name, std::string_view prefix, std::size_t& block,
                      std::string_view& rest);

// The first file's path, for messages.
std::string file_of(const Checkpoint& checkpoint);

}  // namespace deciban
