#include "engine/ops.h"

#include <numeric>

namespace deciban {
namespace {

[[noreturn]] void refuse_attention() {
  throw std::logic_error("attention was asked of a backend that does not compute it");
}

}  // namespace

OutOfDeviceMemory::~OutOfDeviceMemory() = default;

void Ops::add_rows(const EmbeddingTable&, std::span<const Token>, Tensor) { refuse_attention(); }

void Ops::add_positions(const EmbeddingTable& table, std::size_t offset, Layout layout, KvCache& cache,
                        Tensor x) {
  std::vector<Token> rows(x.rows);
  for (const Piece& piece : layout) {
    for (std::size_t i = 0; i < piece.count; ++i) {
      rows[piece.row + i] = static_cast<Token>(cache.length(piece.slot) + i + offset);
    }
  }
  add_rows(table, rows, x);
}

std::unique_ptr<KvCache> Ops::allocate_cache(const KvShape&, std::size_t) { refuse_attention(); }

void Ops::attention(const Attention&, const Tensor&, const Tensor&, const Tensor&, Layout, KvCache&,
                    std::size_t, Tensor) {
  refuse_attention();
}

void Ops::norm(const Tensor& x, const Norm& norm, Tensor out) {
  std::vector<std::size_t> rows(x.rows);
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  norm_rows(x, rows, norm, out);
}

void Ops::row_best(const Tensor& logits, std::span<TokenScore> scores) {
  std::vector<float> row(logits.columns);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    read(logits, i, 1, row.data());
    scores[i] = best_of(row);
  }
}

Tensor Tensor::slice(std::size_t first, std::size_t count) const {
  Tensor part = *this;
  part.data = static_cast<std::byte*>(data) + first * element_bytes(type);
  part.columns = count;
  return part;
}

}  // namespace deciban
