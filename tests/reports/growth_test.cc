#include "reports/growth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>

#include "reports/random.h"

namespace deciban {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

double normal(Random& random) {
  return std::sqrt(-2 * std::log(1 - random.unit())) * std::cos(2 * std::numbers::pi * random.unit());
}

// Lengths 256 … 65536 with relative noise.
std::vector<GrowthPoint> points(const std::function<double(double)>& cost, double noise, std::uint64_t seed) {
  Random random(seed);
  std::vector<GrowthPoint> all;
  for (double t = 256; t <= 65536; t *= 2)
    all.push_back({t, cost(t) * std::exp(noise * normal(random)), noise});
  return all;
}

TEST(GrowthFit, RecoversCoefficients) {
  const auto law = [](double t) { return 5e-3 + 2e-6 * t + 3e-11 * t * t; };
  const GrowthFit fit = fit_growth(points(law, 0, 1), GrowthLaw::quadratic);
  EXPECT_NEAR(fit.a, 5e-3, 1e-9);
  EXPECT_NEAR(fit.b, 2e-6, 1e-12);
  EXPECT_NEAR(fit.c, 3e-11, 1e-17);
  EXPECT_NEAR(fit.at(1000), law(1000), 1e-12);
}

TEST(GrowthFit, CoefficientsAreNeverNegative) {
  // Falling values: no term may fall, so the constant alone remains.
  const GrowthFit fit = fit_growth(points([](double t) { return 1 / t; }, 0, 1), GrowthLaw::quadratic);
  EXPECT_GE(fit.a, 0);
  EXPECT_EQ(fit.b, 0);
  EXPECT_EQ(fit.c, 0);
}

TEST(GrowthFit, RefusesWhatIsNoCost) {
  const std::vector<GrowthPoint> one{{256, 1, 0}}, zero{{256, 0, 0}, {512, 1, 0}, {1024, 1, 0}};
  EXPECT_THROW(fit_growth(one, GrowthLaw::linear), std::invalid_argument);
  EXPECT_THROW(fit_growth(zero, GrowthLaw::linear), std::invalid_argument);
}

struct LawCase {
  GrowthLaw law;
  std::function<double(double)> cost;
};
const std::vector<LawCase>& laws() {
  static const std::vector<LawCase> cases = {
      {GrowthLaw::constant, [](double) { return 4e-3; }},
      {GrowthLaw::logarithmic, [](double t) { return 1e-3 + 1e-3 * std::log(t); }},
      {GrowthLaw::linear, [](double t) { return 5e-3 + 5.9e-3 * t / 32768; }},
      {GrowthLaw::quadratic, [](double t) { return 1e-3 + 1e-5 * t + 1e-9 * t * t; }},
  };
  return cases;
}

// Of 100 noisy sweeps of each law: how many get the right verdict, and how many a wrong one.
TEST(Growth, FindsTheLawBehindNoise) {
  for (const LawCase& c : laws()) {
    int right = 0, wrong = 0;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
      const GrowthVerdict verdict = growth_of(points(c.cost, 0.01, seed));
      right += verdict.law == c.law;
      wrong += verdict.law && *verdict.law != c.law;
    }
    EXPECT_GE(right, 80) << name(c.law);
    EXPECT_LE(wrong, 5) << name(c.law);
  }
}

TEST(Growth, ALinearCostWithAConstantIsNoPowerLaw) {
  const GrowthVerdict verdict =
      growth_of(points([](double t) { return 5e-3 + 5.9e-3 * t / 32768; }, 0.01, 3));
  EXPECT_EQ(verdict.law, GrowthLaw::linear);
  EXPECT_EQ(verdict.words(), "linear");
  ASSERT_TRUE(verdict.exponent);
  EXPECT_GT(verdict.exponent->value, 0.4);  // at 64k the linear part is most of it
  EXPECT_EQ(verdict.exponent->from, 16384);
  EXPECT_EQ(verdict.exponent->to, 65536);
  EXPECT_LE(verdict.exponent->interval.low, verdict.exponent->value);
  EXPECT_GE(verdict.exponent->interval.high, verdict.exponent->value);
}

TEST(Growth, SaysWhenItCannotTell) {
  // T log T against T over so few octaves drowns in 10 % noise: whatever is said, the truth is among it.
  int sure_and_wrong = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const GrowthVerdict verdict =
        growth_of(points([](double t) { return 1e-6 * t * std::log(t); }, 0.1, seed));
    sure_and_wrong +=
        verdict.law && *verdict.law != GrowthLaw::linearithmic && *verdict.law != GrowthLaw::linear;
    if (!verdict.law) {
      EXPECT_THAT(verdict.words(), HasSubstr("not distinguishable"));
      EXPECT_THAT(verdict.possible, Contains(GrowthLaw::linear));
    }
  }
  EXPECT_EQ(sure_and_wrong, 0);
}

TEST(Growth, CountedBytesAreExact) {
  const GrowthVerdict flat = growth_of(points([](double) { return 24e6; }, 0, 1));
  EXPECT_EQ(flat.law, GrowthLaw::constant);
  EXPECT_NEAR(flat.exponent->value, 0, 1e-3);
  const GrowthVerdict cache = growth_of(points([](double t) { return 4096 * t; }, 0, 1));
  EXPECT_EQ(cache.law, GrowthLaw::linear) << cache.words();
  EXPECT_NEAR(cache.exponent->value, 1, 1e-3);
}

TEST(Growth, FewLengthsGiveNoLaw) {
  const GrowthVerdict verdict = growth_of({{256, 1, 0.01}, {512, 2, 0.01}, {1024, 4, 0.01}});
  EXPECT_FALSE(verdict.law);
  EXPECT_EQ(verdict.words(), "too few lengths");
  EXPECT_NEAR(verdict.exponent->value, 1, 1e-9);
}

TEST(Crossover, IsFoundWhereItWasMeasured) {
  const auto flat = points([](double) { return 10e-3; }, 0.01, 1);
  const auto growing = points([](double t) { return 5e-3 + 1e-6 * t; }, 0.01, 2);  // equal at 5000
  const auto found = crossover(flat, growing);
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->extrapolated);
  EXPECT_TRUE(found->first_cheaper_after);
  EXPECT_NEAR(found->length, 5000, 700);
  EXPECT_LT(found->interval.low, found->interval.high);
  EXPECT_FALSE(crossover(growing, flat)->first_cheaper_after);
}

TEST(Crossover, IsExtrapolatedByLaws) {
  const auto flat = points([](double) { return 10e-3; }, 0.005, 1);
  const auto growing = points([](double t) { return 5e-3 + 2e-8 * t; }, 0.005, 2);  // equal at 250 000
  const auto found = crossover(flat, growing);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->extrapolated);
  EXPECT_TRUE(found->first_cheaper_after);
  EXPECT_NEAR(found->length, 250'000, 75'000);
  EXPECT_LE(found->interval.low, 250'000);
  EXPECT_GE(found->interval.high, 250'000);
}

TEST(Crossover, MayNotExist) {
  const auto cheap = points([](double) { return 1e-3; }, 0.01, 1),
             dear = points([](double) { return 2e-3; }, 0.01, 2);
  EXPECT_FALSE(crossover(cheap, dear));
}

}  // namespace
}  // namespace deciban
