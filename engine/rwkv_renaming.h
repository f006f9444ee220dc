// The pieces that the renamings of rwkv_sources.cc and rwkv_ggml_sources.cc are made of.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/checkpoint.h"

namespace deciban::rwkv_renaming {

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

// Throws std::runtime_error("FILE: REASON").
[[noreturn]] void fail(const Checkpoint& checkpoint, std::string_view reason);

// Whether the official layout of blocks.N.LEAF is [in, out], the other way round than that of `*.weight`.
bool is_lora_matrix(std::string_view leaf);

std::string block_name(std::size_t block, std::string_view leaf);
void add(Tensors& tensors, StoredTensor tensor, std::string name);
// A stack [n, ...] of vectors as n tensors; throws if it holds another number.
void add_stack(const Checkpoint& checkpoint, Tensors& tensors, const StoredTensor& stack, std::size_t block,
               std::initializer_list<std::string_view> leaves);
// Throws for what is no matrix.
StoredTensor transposed(const Checkpoint& checkpoint, const StoredTensor& tensor);

Tensors from_rwkvcpp(const Checkpoint& checkpoint);
Tensors from_gguf(const Checkpoint& checkpoint);

}  // namespace deciban::rwkv_renaming
