// From the names and layouts of any source (official, Hugging Face, fla, web-rwkv, rwkv.cpp, GGUF) to the
// official RWKV ones, on which the rest of the engine is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/checkpoint.h"

namespace deciban {

enum class RwkvVersion { v4, v5_0, v5_1, v5_2, v6, v7 };
DECIBAN_API std::string_view name(RwkvVersion version);  // "rwkv4", "rwkv5.0", …, "rwkv7"

// Shape of a model, read from its tensors.
struct RwkvShape {
  RwkvVersion version = RwkvVersion::v7;
  std::size_t vocabulary = 0, layers = 0, width = 0;           // V, L, C
  std::size_t attention = 0, ffn = 0;                          // A, F
  std::size_t heads = 0, head_size = 0;                        // 0 for RWKV-4
  std::size_t mix_rank = 0, decay_rank = 0;                    // v6: D, Dd
  std::size_t w_rank = 0, a_rank = 0, v_rank = 0, g_rank = 0;  // v7
};

// Renames, transposes (views only), undoes stored transforms and squeezes unit dimensions, so that every
// tensor of the result has its official name and layout: matrices `*.weight` [out, in]; v6/v7 LoRA matrices
// [in, out] (time_maa_w2: [5, D, C]); vectors 1-D ([H, N] for time_faaaa, r_k and 5.2's time_decay). Throws
// std::runtime_error for what is not an RWKV-4..7 text model: strangers are named (7a, 7b, 8, x060b, "neo").
DECIBAN_API Checkpoint official_rwkv(const Checkpoint& source);

// Version and shape of a checkpoint with official names; checks that every tensor the version needs is there
// with the right shape.  Throws naming the tensor, the shape found and the shape needed.
DECIBAN_API RwkvShape rwkv_shape(const Checkpoint& official);

// Number of weights of a checkpoint with official names, without block 0's v0, v1, v2 (RWKV-7 never uses
// them).
DECIBAN_API std::uint64_t parameter_count(const Checkpoint& official);

}  // namespace deciban
