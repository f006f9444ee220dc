// The cache of keys and values: what it holds, what copies share, and what a window drops.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/ops.h"

namespace deciban {
namespace {

constexpr std::size_t kLayers = 2, kHeads = 2, kSize = 16, kWidth = kHeads * kSize;
constexpr std::uint64_t kPageBytes = kLayers * kHeads * 2 * kSize * KvCache::kPage * sizeof(float);

class KvCacheTest : public testing::Test {
 protected:
  std::unique_ptr<KvCache> cache(std::size_t slots, std::size_t window = 0) {
    return ops_->allocate_cache({kLayers, kHeads, kSize, ActivationFormat::f32, window}, slots);
  }
  // Reads tokens [first, first + count) of the endless text `text`; returns the last row's outputs.
  std::vector<float> read(KvCache& cache, std::size_t slot, std::size_t count, float text,
                          std::size_t window = 0) {
    const Piece piece{0, count, slot};
    ops_->release(0);
    cache.reserve({&piece, 1});
    Tensor out = ops_->allocate(count, kWidth);
    const Tensor q = rows(cache.length(slot), count, text), k = rows(cache.length(slot), count, text + 1),
                 v = rows(cache.length(slot), count, text + 2);
    const Attention params{.heads = kHeads, .kv_heads = kHeads, .head_size = kSize, .window = window};
    for (std::size_t layer = 0; layer < kLayers; ++layer) {
      ops_->attention(params, q, k, v, {&piece, 1}, cache, layer, out);
    }
    cache.advance({&piece, 1});
    std::vector<float> last(kWidth);
    ops_->read(out, count - 1, 1, last.data());
    return last;
  }

  std::unique_ptr<Backend> backend_ = cpu_backend();
  std::unique_ptr<Ops> ops_ = backend_->open(1);

 private:
  Tensor rows(std::size_t first, std::size_t count, float text) {
    std::vector<float> values(count * kWidth);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = std::sin(text * 1.7f + static_cast<float>(first * kWidth + i) * 0.37f);
    }
    const Tensor tensor = ops_->allocate(count, kWidth);
    ops_->write(tensor, 0, count, values.data());
    return tensor;
  }
};

TEST_F(KvCacheTest, GrowsByPagesAndGivesThemBack) {
  const auto c = cache(2);
  EXPECT_EQ(c->bytes(), 0u);
  read(*c, 0, 1, 0);
  EXPECT_EQ(c->bytes(), kPageBytes);
  read(*c, 0, 63, 0);
  EXPECT_EQ(c->bytes(), kPageBytes);
  read(*c, 0, 1, 0);
  EXPECT_EQ(c->bytes(), 2 * kPageBytes);
  EXPECT_EQ(c->length(0), 65u);
  const std::uint64_t many = [&] {
    for (int i = 0; i < 40; ++i) read(*c, 1, 64, 5);
    return c->bytes();
  }();
  EXPECT_EQ(many, 42 * kPageBytes);
  c->reset(1);
  EXPECT_EQ(c->length(1), 0u);
  EXPECT_LE(c->bytes(), 12 * kPageBytes);  // some are kept for the next sequence
}

TEST_F(KvCacheTest, CopiesShareFullPagesAndGoTheirOwnWay) {
  const auto c = cache(3);
  read(*c, 0, 130, 0);  // two full pages and two tokens
  EXPECT_EQ(c->bytes(), 3 * kPageBytes);
  c->copy(0, 1);
  EXPECT_EQ(c->length(1), 130u);
  EXPECT_EQ(c->bytes(), 4 * kPageBytes);
  const auto other = read(*c, 1, 7, 9);
  const auto own = read(*c, 0, 7, 0);
  EXPECT_NE(own, other);
  // As a sequence that nobody shares with.
  read(*c, 2, 130, 0);
  EXPECT_EQ(read(*c, 2, 7, 0), own);
  const auto alone = cache(1);
  read(*alone, 0, 130, 0);
  EXPECT_EQ(read(*alone, 0, 7, 9), other);
  c->copy(1, 1);
  EXPECT_EQ(c->length(1), 137u);
}

TEST_F(KvCacheTest, AChunkThatWasNotFinishedLeavesNoTrace) {
  const auto c = cache(1), clean = cache(1);
  read(*c, 0, 60, 0);
  read(*clean, 0, 60, 0);
  const Piece piece{0, 30, 0};
  c->reserve({&piece, 1});  // and then something else failed
  EXPECT_EQ(c->length(0), 60u);
  EXPECT_EQ(read(*c, 0, 30, 0), read(*clean, 0, 30, 0));
}

TEST_F(KvCacheTest, DropsWhatNoWindowSees) {
  const auto bounded = cache(1, 100), whole = cache(1);
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(read(*bounded, 0, 33, 0, 100), read(*whole, 0, 33, 0, 100)) << i;
    EXPECT_LE(bounded->bytes(), (4 + 9) * kPageBytes);
  }
  EXPECT_EQ(bounded->length(0), 990u);
  EXPECT_GE(whole->bytes(), 15 * kPageBytes);
}

// A damaged sequence must not reach one that later gets its pages.
TEST_F(KvCacheTest, PagesComeBackClean) {
  const auto c = cache(1), clean = cache(1);
  const Piece piece{0, 64, 0};
  ops_->release(0);
  const Tensor bad = ops_->allocate(64, kWidth);
  ops_->write(bad, 0, 64, std::vector<float>(64 * kWidth, NAN).data());
  c->reserve({&piece, 1});
  for (std::size_t layer = 0; layer < kLayers; ++layer) {
    ops_->attention({.heads = kHeads, .kv_heads = kHeads, .head_size = kSize}, bad, bad, bad, {&piece, 1}, *c,
                    layer, bad);
  }
  c->advance({&piece, 1});
  c->reset(0);
  EXPECT_EQ(read(*c, 0, 5, 3), read(*clean, 0, 5, 3));
}

TEST_F(KvCacheTest, BackendsWithoutAttentionSaySo) {
  class Bare final : public Backend {
    std::string device() const override { return "bare"; }
    std::string kernels() const override { return "bare"; }
    std::unique_ptr<Weight> matrix(const StoredTensor&, NumericMode) override { return nullptr; }
    std::unique_ptr<Vector> vector(std::span<const float>) override { return nullptr; }
    std::unique_ptr<EmbeddingTable> table(const StoredTensor&) override { return nullptr; }
    std::unique_ptr<Ops> open(int) override { return nullptr; }
    std::uint64_t weight_bytes() const override { return 0; }
    std::string refusal(NumericMode) const override { return {}; }
  } bare;
  EXPECT_FALSE(static_cast<Backend&>(bare).computes_attention());
  EXPECT_TRUE(backend_->computes_attention());
}

}  // namespace
}  // namespace deciban
