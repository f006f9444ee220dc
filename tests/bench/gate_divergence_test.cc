#include "bench/gate_divergence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <string>

#include "engine/random_model.h"

namespace deciban {
namespace {

// A "model" whose logits are a formula, handed out in tiles of a size of its own.
class FormulaModel final : public LanguageModel {
 public:
  FormulaModel(std::size_t tile, float slope, std::size_t vocabulary = 5) : tile_(tile), slope_(slope) {
    info_.vocabulary = vocabulary;
  }
  const ModelInfo& info() const override { return info_; }
  std::vector<Token> encode(std::string_view) const override { return {}; }
  std::string decode(std::span<const Token>) const override { return {}; }
  float logit(std::size_t position, std::size_t v) const {
    return slope_ * static_cast<float>(v) + std::sin(static_cast<float>(position * 3 + v));
  }
  void score(SequenceSource& next, ScoreSink& done) override {
    Sequence s;
    while (next.next(s)) {
      for (std::size_t at = s.first; at < s.tokens.size(); at += tile_) {
        if (at >= fail_at) return done.failed(0, "out of luck");
        std::vector<float> rows;
        const std::size_t count = std::min(tile_, s.tokens.size() - at);
        for (std::size_t r = 0; r < count; ++r) {
          for (std::size_t v = 0; v < info_.vocabulary; ++v) rows.push_back(logit(at + r, v));
        }
        done.rows(0, at, {rows.data(), count, info_.vocabulary});
      }
      const std::vector<TokenScore> scores(s.tokens.size() - s.first, TokenScore{-1, -1, 0});
      done.scored(0, scores);
    }
  }
  std::size_t fail_at = 1000;

 private:
  std::size_t tile_;
  float slope_;
  ModelInfo info_;
};

// By hand: p = (1/2, 1/2), q = (1/4, 3/4): KL = 1/2 ln 2 + 1/2 ln (2/3).
TEST(DivergenceOf, IsTheFormula) {
  const float p[] = {1, 1}, q[] = {std::log(0.25f), std::log(0.75f)}, none[] = {0, -INFINITY};
  EXPECT_NEAR(divergence_of(p, q), 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3), 1e-7);
  EXPECT_EQ(divergence_of(q, q), 0);
  EXPECT_NEAR(divergence_of(none, p), std::log(2.0), 1e-7);
  EXPECT_TRUE(std::isinf(divergence_of(p, none)));
  const float broken[] = {NAN, 0};
  EXPECT_TRUE(std::isnan(divergence_of(p, broken)));
}

TEST(CompareRows, MeetsTilesOfAnySize) {
  const std::vector<Token> tokens(40, 1);
  for (const std::size_t a : {1, 3, 7, 64}) {
    for (const std::size_t b : {1, 4, 64}) {
      FormulaModel reference(a, 0.3f), other(b, 0.1f);
      const Divergence d = compare_rows(reference, other, {tokens, 2, 0});
      ASSERT_EQ(d.kl.size(), 38u);
      for (std::size_t i = 0; i < d.kl.size(); ++i) {
        std::vector<float> p, q;
        for (std::size_t v = 0; v < 5; ++v) {
          p.push_back(reference.logit(i + 2, v));
          q.push_back(other.logit(i + 2, v));
        }
        EXPECT_FLOAT_EQ(d.kl[i], static_cast<float>(divergence_of(p, q)));
      }
      EXPECT_EQ(d.reference_nats, 38);
      EXPECT_LT(d.agreements, 38u);
      EXPECT_GT(d.agreements, 0u);
      EXPECT_GT(d.largest_regret, 0);
    }
  }
}

TEST(CompareRows, AFailureOfEitherEndsBoth) {
  const std::vector<Token> tokens(40, 1);
  for (const bool first : {true, false}) {
    FormulaModel reference(3, 0.3f), other(5, 0.1f);
    (first ? reference : other).fail_at = 20;
    try {
      compare_rows(reference, other, {tokens, 1, 0});
      FAIL() << "no error";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "out of luck");
    }
  }
}

TEST(CompareRows, NeedsTheSameVocabulary) {
  FormulaModel five(3, 0), six(3, 0, 6);
  const std::vector<Token> tokens(4, 1);
  EXPECT_THROW(compare_rows(five, six, {tokens, 1, 0}), std::invalid_argument);
}

TEST(CompareRows, AModelIsNotFarFromItself) {
  ModelOptions f32, int8;
  f32.format = "f32";
  int8.format = "int8";
  f32.device = int8.device = "cpu";
  f32.threads = int8.threads = 1;
  int8.chunk_rows = 7;
  const std::string spec = "random:rwkv7-0.1b,vocab=256,layers=2,width=64";
  const auto reference = open_model(spec, f32), narrow = open_model(spec, int8),
             again = open_model(spec, f32);
  const std::vector<Token> tokens = reference->encode("The same text for both, of some length.");
  const Divergence same = compare_rows(*reference, *again, {tokens, 1, 0}),
                   near = compare_rows(*reference, *narrow, {tokens, 1, 0});
  EXPECT_EQ(same.agreements, same.kl.size());
  EXPECT_EQ(same.reference_nats, same.other_nats);
  for (const float kl : same.kl) EXPECT_EQ(kl, 0);
  double mean = 0;
  for (const float kl : near.kl) mean += kl / static_cast<double>(near.kl.size());
  EXPECT_GT(mean, 0);
  EXPECT_LT(mean, 0.01);
}

}  // namespace
}  // namespace deciban
