#include "engine/rwkv_renaming.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "engine/mapped_file.h"
#include "engine/rwkv_sources.h"

namespace deciban::rwkv_renaming {

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

void fail(const Checkpoint& checkpoint, std::string_view reason) {
  throw std::runtime_error(fmt::format("{}: {}", file_of(checkpoint), reason));
}

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

}  // namespace deciban::rwkv_renaming
