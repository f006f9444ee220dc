#include "engine/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace deciban::cpu {
namespace {

constexpr std::size_t kBlockRows = 48;  // query rows of one task: their running values stay in the L1 cache

std::size_t element_bytes(bool bf16) { return bf16 ? 2 : 4; }
const float* weights(const Norm& norm) { return norm.weight == nullptr ? nullptr : norm.weight->data(); }

}  // namespace

const float* TurnTable::of(const Attention& params, const std::vector<std::size_t>& positions) {
  const std::size_t pairs = params.rotary / 2;
  const std::span<const float> frequencies(pairs == 0 ? nullptr : params.frequencies->data(), pairs);
  if (positions == positions_ && magnitude_ == params.magnitude &&
      std::equal(frequencies.begin(), frequencies.end(), frequencies_.begin(), frequencies_.end())) {
    return turns_.data();
  }
  positions_ = positions;
  frequencies_.assign(frequencies.begin(), frequencies.end());
  magnitude_ = params.magnitude;
  turns_.resize(positions.size() * pairs * 2);
  float* out = turns_.data();
  for (const std::size_t position : positions) {
    for (const float frequency : frequencies) {
      const float angle = static_cast<float>(position) * frequency;
      *out++ = static_cast<float>(std::cos(static_cast<double>(angle)) * params.magnitude);
      *out++ = static_cast<float>(std::sin(static_cast<double>(angle)) * params.magnitude);
    }
  }
  return turns_.data();
}

std::size_t AttentionCall::block_tokens() const {
  return std::max<std::size_t>(1, kBlockRows / (params.heads / params.kv_heads));
}

std::size_t AttentionCall::scratch_floats() const {
  std::size_t longest = 0;
  for (const Piece& piece : layout) longest = std::max(longest, piece.count);
  const std::size_t rows = std::min(longest, block_tokens()) * (params.heads / params.kv_heads);
  return attention_scratch_floats(cache.padded(), rows);
}

void AttentionCall::check() const {
  const KvShape& s = cache.shape();
  const Attention& p = params;
  if (p.kv_heads == 0 || p.heads % p.kv_heads != 0 || p.kv_heads != s.kv_heads ||
      p.head_size != s.head_size || p.rotary > p.head_size || p.rotary % 2 != 0 || layer >= s.layers ||
      q.columns != p.heads * p.head_size || k.columns != p.kv_heads * p.head_size || v.columns != k.columns ||
      out.columns != q.columns || (s.window != 0 && (p.window == 0 || p.window > s.window))) {
    throw std::logic_error("attention: shapes do not fit");
  }
}

// Puts keys and values into the cache; returns the queries, as rows of heads * head_size elements.
std::byte* AttentionCall::append(const Kernels& kernels, Team& team, Arena& arena, TurnTable& turns,
                                 const std::function<float*(int)>& scratch) const {
  const std::size_t row_bytes = q.columns * element_bytes(cache.bf16());
  auto* queries = static_cast<std::byte*>(arena.allocate(q.rows * row_bytes));
  std::vector<std::size_t> positions(q.rows);
  std::vector<std::byte*> pages(q.rows);
  for (const Piece& piece : layout) {
    for (std::size_t i = 0; i < piece.count; ++i) {
      const std::size_t at = cache.length(piece.slot) + i;
      positions[piece.row + i] = at;
      pages[piece.row + i] = cache.page(piece.slot, at / kPage) + layer * cache.layer_bytes();
    }
  }
  const float* turned = turns.of(params, positions);
  constexpr std::size_t kRowsTogether = 16;
  team.run((q.rows + kRowsTogether - 1) / kRowsTogether, [&](std::size_t part, int thread) {
    for (std::size_t r = part * kRowsTogether; r < std::min(q.rows, (part + 1) * kRowsTogether); ++r) {
      kernels.attention_row({.q = q.f32() + r * q.stride,
                             .k = k.f32() + r * k.stride,
                             .v = v.f32() + r * v.stride,
                             .heads = params.heads,
                             .kv_heads = params.kv_heads,
                             .size = params.head_size,
                             .padded = cache.padded(),
                             .scale = params.scale,
                             .q_norm = weights(params.q_norm),
                             .k_norm = weights(params.k_norm),
                             .q_eps = params.q_norm.eps,
                             .k_eps = params.k_norm.eps,
                             .rotary = params.rotary,
                             .interleaved = params.interleaved,
                             .turns = turned + r * params.rotary,
                             .bf16 = cache.bf16(),
                             .q_out = queries + r * row_bytes,
                             .page = pages[r],
                             .in_page = positions[r] % kPage,
                             .scratch = scratch(thread)});
    }
  });
  return queries;
}

void AttentionCall::run(const Kernels& kernels, Team& team, Arena& arena, TurnTable& turns,
                        const std::function<float*(int)>& scratch) const {
  check();
  const std::byte* queries = append(kernels, team, arena, turns, scratch);
  const std::size_t group = params.heads / params.kv_heads, together = block_tokens();
  const std::size_t element = element_bytes(cache.bf16()), row_bytes = q.columns * element;
  std::vector<std::vector<const std::byte*>> pages;
  pages.reserve(layout.size());
  std::vector<Block> blocks;
  for (const Piece& piece : layout) {
    pages.push_back(cache.pages(piece.slot));
    // The last tokens have most to do: they come first.
    for (std::size_t i = (piece.count + together - 1) / together; i-- > 0;) {
      for (std::size_t head = 0; head < params.kv_heads; ++head) {
        blocks.push_back(
            {&piece, &pages.back(), head, i * together, std::min(together, piece.count - i * together)});
      }
    }
  }
  const bool out_bf16 = out.type == Tensor::Type::bf16;
  const std::size_t out_element = element_bytes(out_bf16);
  team.run(blocks.size(), [&](std::size_t task, int thread) {
    const Block& b = blocks[task];
    const std::size_t row = b.piece->row + b.token, column = b.head * group * params.head_size;
    kernels.attention({.size = params.head_size,
                       .padded = cache.padded(),
                       .group = group,
                       .tokens = b.tokens,
                       .first = cache.length(b.piece->slot) + b.token,
                       .bf16 = cache.bf16(),
                       .q = queries + row * row_bytes + column * element,
                       .q_stride = row_bytes,
                       .pages = b.pages->data(),
                       .offset = layer * cache.layer_bytes() + b.head * cache.head_bytes(),
                       .slopes = params.slopes != nullptr ? params.slopes->data() + b.head * group : nullptr,
                       .window = params.window,
                       .out = static_cast<std::byte*>(out.data) + (row * out.stride + column) * out_element,
                       .out_stride = out.stride * out_element,
                       .out_bf16 = out_bf16,
                       .scratch = scratch(thread)});
  });
}

}  // namespace deciban::cpu
