#include "reports/paired.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "reports/random.h"

namespace deciban {
namespace {

using testing::DoubleNear;
using testing::Pointwise;

// 60 documents: bits under the base, and how many more under the other (NumPy, default_rng(5)).
const std::vector<double> kBase{
    919.81,  867.56,  975.16, 1042.04, 1113.6,  1010.97, 944.74,  921.52,  1074.87, 1163.48,
    1027.28, 876.67,  904.17, 1160.0,  1020.29, 826.79,  991.63,  883.68,  937.07,  951.2,
    928.67,  1055.34, 993.69, 941.06,  1040.96, 1082.99, 835.7,   974.33,  901.93,  982.68,
    871.06,  1002.07, 996.21, 969.57,  895.21,  960.38,  890.87,  864.48,  1022.48, 889.07,
    1117.03, 1071.66, 800.22, 1027.21, 889.83,  1003.31, 1004.36, 801.16,  976.66,  974.42,
    1096.2,  881.86,  1073.8, 890.1,   966.87,  915.95,  1144.87, 1056.82, 1243.17, 1064.19};
const std::vector<double> kMore{
    12.45, 12.41, -2.07,  3.3,   17.5,   0.03,  5.89,  3.79, 10.09, 0.35,  2.48,  6.42,  5.03,  -4.65, 12.96,
    -8.98, -8.01, -8.82,  13.67, 0.39,   -5.71, -7.36, 8.21, -6.55, -8.72, 10.14, -7.97, 0.78,  3.93,  -0.45,
    3.46,  17.39, -1.17,  -8.59, -14.37, 1.95,  0.48,  6.65, -0.64, -0.79, -3.21, -1.2,  5.6,   0.2,   5.0,
    23.01, 8.79,  -11.76, 21.34, 7.48,   -5.41, 13.07, 4.18, -2.15, -2.34, -5.93, 4.48,  14.69, 0.75,  8.21};

std::vector<PairedTerm> terms(double base_level = 0) {
  std::vector<PairedTerm> result;
  for (std::size_t i = 0; i < kBase.size(); ++i) {
    const double base = base_level > 0 ? base_level : kBase[i];
    result.push_back({base, base + kMore[i], 1.0});
  }
  return result;
}

PairedResult one(const std::vector<PairedTerm>& documents, const PairedOptions& options = {}) {
  return compare_pairs({&documents, 1}, options);
}

// scipy.stats.ttest_1samp: t = 2.32631, p = 0.0234566, interval 0.348907 … 4.641093.  The bootstrap-t is not
// the t test; on data as even as these it comes near.
TEST(Paired, ComesNearStudentOnNormalDifferences) {
  const PairedResult result = one(terms());
  EXPECT_NEAR(result.difference.value, 2.495, 1e-12);
  ASSERT_TRUE(result.p && result.difference.interval);
  EXPECT_NEAR(*result.p, 0.0234566, 0.01);
  EXPECT_NEAR(result.difference.interval->low, 0.348907, 0.2);
  EXPECT_NEAR(result.difference.interval->high, 4.641093, 0.2);
  EXPECT_EQ(result.documents, 60u);
}

// statsmodels.stats.power.TTestPower.solve_power with the sample's standard deviation 8.3076466:
// detectable 3.054758 (power 0.8, n = 60), and 23.66 documents for a difference of 5.  Base bits of 1000 make
// the margin 0.5 % = 5.
TEST(Paired, DetectableDifferenceAndDocumentsAgreeWithPowerOfTheTTest) {
  const PairedResult result = one(terms(1000));
  ASSERT_TRUE(result.detectable && result.documents_for_margin);
  EXPECT_NEAR(*result.detectable * 1000, 3.054758, 0.02);
  EXPECT_NEAR(static_cast<double>(*result.documents_for_margin), 24, 1);
}

// statsmodels ttost_paired(−8, 8): p 1.68e-6, the other side 2.9e-14; margin 0.8 % of 1000.
TEST(Paired, EquivalenceIsTheWorseOfTwoOneSidedTests) {
  PairedOptions options;
  options.same_within = 0.008;
  const PairedResult wide = one(terms(1000), options);
  ASSERT_TRUE(wide.p_same);
  EXPECT_LT(*wide.p_same, 0.001);  // 1.7e-6; the resamples reach about 1e-4
  EXPECT_EQ(wide.verdict, Verdict::same);
  EXPECT_TRUE(wide.differs);
  options.same_within = 0.004;  // 4: scipy.stats.ttest_1samp(d, 4, "less") p = 0.0829
  const PairedResult narrow = one(terms(1000), options);
  EXPECT_NEAR(*narrow.p_same, 0.0829, 0.02);
  EXPECT_EQ(narrow.verdict, Verdict::worse);
  options.same_within = 0;
  EXPECT_FALSE(one(terms(1000), options).p_same);
}

TEST(Paired, VerdictFollowsTheMeasuresDirection) {
  std::vector<PairedTerm> documents = terms(1000);
  PairedOptions options;
  options.same_within = 0.001;
  EXPECT_EQ(one(documents, options).verdict, Verdict::worse);
  options.lower_is_better = false;
  EXPECT_EQ(one(documents, options).verdict, Verdict::better);
  for (PairedTerm& term : documents) std::swap(term.base, term.other);
  EXPECT_EQ(one(documents, options).verdict, Verdict::worse);
}

TEST(Paired, TheSameRunIsTheSame) {
  std::vector<PairedTerm> documents;
  for (const double bits : kBase) documents.push_back({bits, bits, 100});
  const PairedResult result = one(documents);
  EXPECT_EQ(result.difference.value, 0);
  EXPECT_EQ(*result.p, 1);
  EXPECT_EQ(result.verdict, Verdict::same);
  EXPECT_EQ(result.decibans_per_kb, 0);
}

TEST(Paired, FewDocumentsDecideNothing) {
  std::vector<PairedTerm> documents = terms();
  documents.resize(kMinDocumentsForInterval - 1);
  const PairedResult result = one(documents);
  EXPECT_FALSE(result.p);
  EXPECT_FALSE(result.detectable);
  EXPECT_EQ(result.verdict, Verdict::unclear);
}

// 10 log10 2 decibans a bit: 0.001 bits per byte more are 3.0103 decibans per 1000 bytes against.
TEST(Paired, DecibansPerKilobyte) {
  std::vector<PairedTerm> documents;
  for (int i = 0; i < 20; ++i) documents.push_back({1000, 1001, 1000});
  EXPECT_NEAR(one(documents).decibans_per_kb, -3.0102999566, 1e-9);
}

// statsmodels.stats.multitest.multipletests(method="holm").
TEST(Paired, HolmAgreesWithStatsmodels) {
  EXPECT_THAT(holm(std::vector<double>{0.001, 0.04, 0.03, 0.005, 0.8, 0.012}),
              Pointwise(DoubleNear(1e-12), {0.006, 0.09, 0.09, 0.025, 0.8, 0.048}));
  EXPECT_TRUE(holm({}).empty());
}

TEST(Paired, AFamilyIsCorrected) {
  PairedOptions options;
  options.same_within = 0.001;
  std::vector<PairedResult> family(4, one(terms(1000), options));
  correct_family(family, options);
  for (const PairedResult& result : family) {
    EXPECT_NEAR(*result.p_adjusted, 4 * *result.p, 1e-12);
    EXPECT_EQ(result.verdict, Verdict::unclear);  // 4 × 0.023 is above 0.05
  }
}

TEST(Paired, RefusesNonsense) {
  PairedOptions options;
  options.same_within = 1;
  EXPECT_THROW(one(terms(), options), std::invalid_argument);
  options = {};
  options.power = 0.3;
  EXPECT_THROW(one(terms(), options), std::invalid_argument);
  EXPECT_THROW(one({{1, NAN, 1}}), std::invalid_argument);
}

// The short version of tests/reports/simulate_statistics.cc: enough to notice a wrong test.
TEST(Paired, FalsePositivesStayNearTheLevel) {
  constexpr int kTrials = 1500;
  int positives = 0, called_same = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    Random random(static_cast<std::uint64_t>(trial) + 1);
    std::vector<PairedTerm> same, margin;
    for (int d = 0; d < 60; ++d) {
      const double base = 500 + 1000 * random.unit(), noise = 40 * (random.unit() + random.unit() - 1);
      same.push_back({base, base + noise, 1000});
      margin.push_back({base, base * 1.005 + noise, 1000});
    }
    PairedOptions options;
    options.resamples = 500;
    options.seed = random.next();
    positives += *one(same, options).p < 0.05;
    called_same += *one(margin, options).p_same < 0.05;
  }
  const double noise = 3 * std::sqrt(0.05 * 0.95 / kTrials);
  EXPECT_NEAR(positives / static_cast<double>(kTrials), 0.05, 0.01 + noise);
  EXPECT_LE(called_same / static_cast<double>(kTrials), 0.055 + noise);
}

}  // namespace
}  // namespace deciban
