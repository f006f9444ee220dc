// References: scipy.stats.wilcoxon and scipy.stats.mannwhitneyu (1.15), alternative="greater".
#include "reports/rank_tests.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "reports/random.h"

namespace deciban {
namespace {
const std::vector<double> kDifferences{1.1, -0.3, 2.5, 0.7, -1.9, 3.1, 0.2, 1.6, -0.8, 2.2};
const std::vector<double> kFirst{1.0, 2.1, 3.3, 4.2, 5.9, 0.4, 2.8}, kSecond{2.0, 3.9, 4.4, 6.1, 5.0, 7.7};

TEST(SignedRank, IsThatOfScipy) {
  EXPECT_NEAR(signed_rank_above(kDifferences, 0), 0.080078125, 1e-12);
  EXPECT_NEAR(signed_rank_above(kDifferences, 0.5), 0.2783203125, 1e-12);
  std::vector<double> many;  // rounded to hundredths, so that there are ties
  for (int i = 0; i < 60; ++i)
    many.push_back(std::nearbyint(100 * (std::sin(i * 1.7) + 0.15 * std::cos(i * i) + 0.2)) / 100);
  EXPECT_NEAR(signed_rank_above(many, 0), 0.013098228701637956, 1e-9);
}

// By enumeration of all 2^7 signs.
TEST(SignedRank, IsExactWithTies) {
  EXPECT_DOUBLE_EQ(signed_rank_above(std::vector<double>{1, 1, -1, 2, 2, -3, 4}, 0), 0.1640625);
}

TEST(SignedRank, NothingIsNoEvidence) {
  EXPECT_EQ(signed_rank_above({}, 0), 1);
  EXPECT_EQ(signed_rank_above(std::vector<double>{2, 2, 2}, 2), 1);
  EXPECT_FALSE(signed_rank_shift(std::vector<double>{1, 2}, 0.95).interval);
}

TEST(SignedRank, ShiftAndItsInterval) {
  const ShiftEstimate shift = signed_rank_shift(kDifferences, 0.95);
  EXPECT_NEAR(shift.value, 0.9, 1e-12);
  ASSERT_TRUE(shift.interval);
  EXPECT_NEAR(shift.interval->low, -0.3, 1e-12);
  EXPECT_NEAR(shift.interval->high, 2.05, 1e-12);
}

TEST(MannWhitney, IsThatOfScipy) {
  EXPECT_NEAR(mann_whitney_above(kFirst, kSecond, 0), 0.050699300699300696, 1e-12);
  const std::vector<double> a{1, 2, 2, 3, 4, 4, 5}, b{2, 3, 4, 5, 5, 6, 7, 8};
  EXPECT_NEAR(mann_whitney_above(a, b, 0), 0.030498718154863328, 1e-12);
}

TEST(MannWhitney, NothingIsNoEvidence) {
  EXPECT_EQ(mann_whitney_above({}, kSecond, 0), 1);
  EXPECT_EQ(mann_whitney_above(std::vector<double>{3, 3}, std::vector<double>{3, 3}, 0), 1);
  EXPECT_FALSE(mann_whitney_shift(std::vector<double>{1, 2}, std::vector<double>{2, 3}, 0.95).interval);
}

TEST(MannWhitney, ShiftAndItsInterval) {
  const ShiftEstimate shift = mann_whitney_shift(kFirst, kSecond, 0.95);
  EXPECT_NEAR(shift.value, 1.85, 1e-12);
  ASSERT_TRUE(shift.interval);
  EXPECT_NEAR(shift.interval->low, -0.8, 1e-12);
  EXPECT_NEAR(shift.interval->high, 4.6, 1e-12);
}

// An interval is what its test does not reject: shifts within are kept, those beyond are not.
TEST(RankTests, IntervalsInvertTheTests) {
  Random random(3);
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<double> first, second;
    for (int i = 0; i < 14; ++i) first.push_back(random.unit());
    for (int i = 0; i < 14; ++i) second.push_back(0.3 + random.unit());
    const ShiftEstimate two = mann_whitney_shift(first, second, 0.95), one = signed_rank_shift(second, 0.95);
    ASSERT_TRUE(two.interval && one.interval);
    EXPECT_GT(mann_whitney_above(first, second, two.interval->low + 1e-9), 0.025);
    EXPECT_LE(mann_whitney_above(first, second, two.interval->low - 1e-9), 0.025);
    EXPECT_GT(signed_rank_above(second, one.interval->low + 1e-9), 0.025);
    EXPECT_LE(signed_rank_above(second, one.interval->low - 1e-9), 0.025);
  }
}

// p-values of equal samples are uniform or above: the share of p <= 1 % is no more than 1 %.
TEST(RankTests, LevelsHold) {
  Random random(11);
  int exact = 0, normal = 0, pairs = 0;
  constexpr int kTrials = 4000;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> a, b, d;
    for (int i = 0; i < 30; ++i) {
      a.push_back(1 / (0.05 + random.unit()));  // heavy tails
      b.push_back(1 / (0.05 + random.unit()));
      d.push_back(a.back() - b.back());
    }
    normal += mann_whitney_above(a, b, 0) <= 0.01;
    exact += mann_whitney_above(std::span(a).first(12), std::span(b).first(12), 0) <= 0.01;
    pairs += signed_rank_above(d, 0) <= 0.01;
  }
  const double bar = kTrials * 0.01 + 3 * std::sqrt(kTrials * 0.01);
  EXPECT_LE(exact, bar);
  EXPECT_LE(normal, bar);
  EXPECT_LE(pairs, bar);
  EXPECT_GT(exact + normal + pairs, kTrials * 0.01);  // and they do not sleep
}

}  // namespace
}  // namespace deciban
