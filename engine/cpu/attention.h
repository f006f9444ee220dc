// Attention on the CPU: rows prepared and appended to the cache, then (piece, head of keys, block of queries)
// tasks for the team.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/cpu/kernels.h"
#include "engine/cpu/kv_cache.h"
#include "engine/cpu/memory.h"
#include "engine/cpu/team.h"
#include "engine/ops.h"

namespace deciban::cpu {

// Cosines and sines of a chunk's rows; all layers of a model turn by the same, so they are kept.
class TurnTable {
 public:
  // [rows][rotary / 2][2], for rows at these positions; valid until the next call.
  const float* of(const Attention& params, const std::vector<std::size_t>& positions);
  std::uint64_t bytes() const { return turns_.capacity() * sizeof(float); }

 private:
  std::vector<std::size_t> positions_;
  std::vector<float> frequencies_;
  float magnitude_ = 0;
  std::vector<float> turns_;
};

// One call of Ops::attention.
struct AttentionCall {
  const Attention& params;
  const Tensor &q, &k, &v;
  Layout layout;
  PagedCache& cache;
  std::size_t layer;
  const Tensor& out;

  std::size_t scratch_floats() const;  // of each thread
  // `scratch(thread)` has so many; `arena` is released by the caller.
  void run(const Kernels& kernels, Team& team, Arena& arena, TurnTable& turns,
           const std::function<float*(int)>& scratch) const;

 private:
  struct Block {
    const Piece* piece;
    const std::vector<const std::byte*>* pages;
    std::size_t head, token, tokens;
  };
  std::size_t block_tokens() const;  // query tokens of one task
  void check() const;
  std::byte* append(const Kernels& kernels, Team& team, Arena& arena, TurnTable& turns,
                    const std::function<float*(int)>& scratch) const;
};

}  // namespace deciban::cpu
