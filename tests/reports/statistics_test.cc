// Coverage of the 95 % intervals, in per cent, of 10,000 simulated corpora each, 2000 resamples (the long run
// of StatisticsCoverage below, DECIBAN_LONG=1).  Ratios are exp(sigma z), lengths exp(length z'), and rho is
// the correlation of z and z'.
//
// sigma  length   rho  documents  studentized   bca
//   1.0     0.0   0.0         10         94.6  82.6
//   1.0     0.0   0.0         30         94.1  89.1
//   1.0     0.0   0.0        100         94.0  92.0
//   1.0     0.0   0.0        200         94.0  93.1
//   1.0     0.0   0.0        500         94.3  93.8
//   1.0     0.3   0.0         10         94.6  82.0
//   1.0     0.3   0.0         30         93.8  88.9
//   1.0     0.3   0.0        100         93.5  91.7
//   1.0     0.3   0.0        200         93.8  92.7
//   1.0     0.3   0.0        500         94.5  93.7
//   1.0     0.5   0.0         10         94.3  81.0
//   1.0     0.5   0.0         30         93.4  88.1
//   1.0     0.5   0.0        100         93.1  91.0
//   1.0     0.5   0.0        200         93.5  92.1
//   1.0     0.5   0.0        500         94.1  93.3
//   1.0     0.5  -0.3         10         95.6  84.4
//   1.0     0.5  -0.3         30         94.2  89.9
//   1.0     0.5  -0.3        100         93.9  92.3
//   1.0     0.5  -0.3        200         94.1  93.2
//   1.0     0.5  -0.3        500         94.6  94.1
//   0.3     0.7   0.0         10         96.8  85.7
//   0.3     0.7   0.0         30         94.8  89.8
//   0.3     0.7   0.0        100         94.2  92.3
//   0.3     0.7   0.0        200         94.3  93.1
//   0.3     0.7   0.0        500         94.4  94.2

#include "reports/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>

#include "reports/random.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using testing::HasSubstr;

std::vector<RatioTerm> terms(const std::vector<double>& numerators, const std::vector<double>& denominators) {
  std::vector<RatioTerm> terms;
  for (std::size_t i = 0; i < numerators.size(); ++i) terms.push_back({numerators[i], denominators[i]});
  return terms;
}

std::vector<RatioTerm> ones(const std::vector<double>& values) {
  return terms(values, std::vector<double>(values.size(), 1.0));
}

// 40 documents of lognormal length and ratio.
const std::vector<RatioTerm> kSample =
    terms({2408.62, 508.54,  1931.5,  3401.87, 437.89, 948.96,  304.66,  810.31,  1154.37, 1156.98,
           1955.7,  1043.78, 1637.26, 2261.47, 220.6,  2264.33, 598.33,  2189.98, 617.5,   1364.13,
           2561.94, 607.39,  280.6,   948.48,  788.73, 1199.8,  8637.22, 1419.66, 3931.04, 2485.01,
           2232.4,  1144.4,  1042.43, 443.75,  311.06, 890.07,  493.41,  560.98,  945.62,  1810.77},
          {931, 674,  1404, 1356, 880,  1043, 445,  705, 1222, 1477, 1092, 727, 918,  1426,
           554, 2003, 978,  733,  652,  624,  1606, 557, 720,  1154, 598,  615, 2550, 1020,
           910, 3211, 1805, 1463, 1692, 1457, 1171, 341, 1518, 1023, 2347, 1806});
const std::vector<RatioTerm> kOnes = ones(
    {0.4285, 0.4535, 1.8253, 1.5223, 0.9747, 3.5027, 4.1093, 1.8292, 0.7421, 2.3019, 1.9135, 8.0997, 1.8646,
     2.7035, 1.2573, 8.5064, 1.3389, 5.6792, 9.6379, 0.702,  0.5112, 0.6585, 0.6326, 1.173,  0.3945});
const std::vector<RatioTerm> kZ = ones({0.8503, 0.7158, 0.3483, 0.5079, 1.8212, 0.6365, 0.7095, 0.7348,
                                        0.2764, 0.9607, 1.1353, 0.2272, 0.8345, 0.3747, 0.6103});
const std::vector<std::vector<RatioTerm>> kYZ{kOnes, kZ};
const std::vector<std::vector<RatioTerm>> kHalves{{kSample.begin(), kSample.begin() + 25},
                                                  {kSample.begin() + 25, kSample.end()}};

// Ends within a share of the interval's width: what Monte-Carlo error leaves of 100,000 resamples.
void expect_interval(const Estimate& estimate, double low, double high, double tolerance = 0.012) {
  ASSERT_TRUE(estimate.interval);
  EXPECT_NEAR(estimate.interval->low, low, tolerance * (high - low));
  EXPECT_NEAR(estimate.interval->high, high, tolerance * (high - low));
}

// scipy.stats.bootstrap of SciPy 1.17.1, method="BCa", 1,000,000 resamples.
TEST(Statistics, BcaAgreesWithScipy) {
  const Estimate estimate = ratio_estimate(kSample, 0.95, 1, 100000, IntervalMethod::bca);
  EXPECT_DOUBLE_EQ(estimate.value, 1.2645869895376307);
  EXPECT_EQ(estimate.documents, 40u);
  expect_interval(estimate, 1.01083, 1.69228);
  expect_interval(ratio_estimate(kSample, 0.8, 1, 100000, IntervalMethod::bca), 1.08764, 1.52759);
}

TEST(Statistics, StratifiedBcaAgreesWithScipy) {
  const Estimate macro = macro_estimate(kYZ, 0.95, 1, 100000, IntervalMethod::bca);
  EXPECT_DOUBLE_EQ(macro.value, 1.6133593333333334);
  expect_interval(macro, 1.18797, 2.27240);
  const Estimate pooled = pooled_estimate(kYZ, 0.95, 1, 100000, IntervalMethod::bca);
  EXPECT_DOUBLE_EQ(pooled.value, 1.8376424999999998);
  EXPECT_EQ(pooled.documents, 40u);
  expect_interval(pooled, 1.31475, 2.65942);
}

// NumPy, straight from the definition (each resample's ratio, residuals and standard error computed anew),
// widened tails from scipy.stats; 400,000 and 300,000 resamples.
TEST(Statistics, StudentizedAgreesWithItsDefinition) {
  expect_interval(ratio_estimate(kSample, 0.95, 1, 100000), 0.965219, 1.806260, 0.02);
  expect_interval(ratio_estimate(kSample, 0.8, 1, 100000), 1.068975, 1.578156);
  const Estimate macro = macro_estimate(kHalves, 0.95, 1, 100000);
  EXPECT_DOUBLE_EQ(macro.value, 1.2625874960461507);
  expect_interval(macro, 0.947004, 1.944694, 0.02);
  const Estimate pooled = pooled_estimate(kHalves, 0.95, 1, 100000);
  EXPECT_DOUBLE_EQ(pooled.value, 1.2645869895376307);
  expect_interval(pooled, 0.959123, 1.888307, 0.02);
}

TEST(Statistics, OneCorpusPooledOrAveragedIsTheCorpus) {
  const std::vector<std::vector<RatioTerm>> one{kSample};
  const Estimate alone = ratio_estimate(kSample);
  for (const Estimate& estimate : {pooled_estimate(one), macro_estimate(one)}) {
    EXPECT_DOUBLE_EQ(estimate.value, alone.value);
    EXPECT_NEAR(estimate.interval->low, alone.interval->low, 1e-12);
    EXPECT_NEAR(estimate.interval->high, alone.interval->high, 1e-12);
  }
}

TEST(Statistics, SameSeedSameInterval) {
  const Interval first = *ratio_estimate(kSample, 0.95, 7).interval,
                 second = *ratio_estimate(kSample, 0.95, 7).interval,
                 other = *ratio_estimate(kSample, 0.95, 8).interval;
  EXPECT_EQ(first.low, second.low);
  EXPECT_EQ(first.high, second.high);
  EXPECT_NE(first.low, other.low);
}

// Known first numbers of xoshiro256** after SplitMix64(1): the generator may never change under a published
// interval.
TEST(Statistics, RandomNumbersAreFixed) {
  Random random(1);
  EXPECT_EQ(random.next(), 12966619160104079557u);
  EXPECT_EQ(random.next(), 9600361134598540522u);
  std::vector<int> counts(10);
  for (int i = 0; i < 100000; ++i) ++counts[random.below(10)];
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);
}

TEST(Statistics, ScalesWithItsTerms) {
  std::vector<RatioTerm> scaled = kSample;
  for (RatioTerm& term : scaled) term.numerator *= 8;
  const Estimate plain = ratio_estimate(kSample), eightfold = ratio_estimate(scaled);
  EXPECT_DOUBLE_EQ(eightfold.value, 8 * plain.value);
  EXPECT_DOUBLE_EQ(eightfold.interval->low, 8 * plain.interval->low);
  EXPECT_DOUBLE_EQ(eightfold.interval->high, 8 * plain.interval->high);
  // Differences of two models have numerators of either sign: shifting a ratio shifts its interval.
  std::vector<RatioTerm> shifted = kSample;
  for (RatioTerm& term : shifted) term.numerator -= 2 * term.denominator;
  const Estimate difference = ratio_estimate(shifted);
  EXPECT_NEAR(difference.value, plain.value - 2, 1e-12);
  EXPECT_NEAR(difference.interval->low, plain.interval->low - 2, 1e-9);
  EXPECT_NEAR(difference.interval->high, plain.interval->high - 2, 1e-9);
}

TEST(Statistics, FewDocumentsGetNoInterval) {
  const std::vector<RatioTerm> nine(kSample.begin(), kSample.begin() + 9),
      ten(kSample.begin(), kSample.begin() + 10);
  EXPECT_FALSE(ratio_estimate(nine).interval);
  EXPECT_EQ(ratio_estimate(nine).documents, 9u);
  EXPECT_TRUE(ratio_estimate(ten).interval);
  const std::vector<std::vector<RatioTerm>> mixed{ten, nine};
  EXPECT_FALSE(pooled_estimate(mixed).interval);
  EXPECT_FALSE(macro_estimate(mixed).interval);
  EXPECT_EQ(macro_estimate(mixed).documents, 19u);
  const std::vector<std::vector<RatioTerm>> with_empty{ten, {}};
  EXPECT_TRUE(pooled_estimate(with_empty).interval);
  EXPECT_TRUE(std::isnan(macro_estimate(with_empty).value));
  EXPECT_FALSE(macro_estimate(with_empty).interval);
}

TEST(Statistics, NothingToDivideByIsNan) {
  EXPECT_TRUE(std::isnan(ratio_estimate({}).value));
  EXPECT_FALSE(ratio_estimate({}).interval);
  EXPECT_TRUE(std::isnan(ratio_estimate(std::vector<RatioTerm>(20)).value));
  EXPECT_TRUE(std::isnan(macro_estimate({}).value));
  EXPECT_TRUE(std::isnan(pooled_estimate({}).value));
}

// The uniform model: every document at exactly 8 bits per byte.
TEST(Statistics, NoSpreadIsAPoint) {
  std::vector<RatioTerm> uniform;
  for (int i = 1; i <= 50; ++i) uniform.push_back({8.0 * 37 * i, 37.0 * i});
  for (const IntervalMethod method : {IntervalMethod::studentized, IntervalMethod::bca}) {
    const Estimate estimate = ratio_estimate(uniform, 0.95, 1, 2000, method);
    EXPECT_EQ(estimate.value, 8);
    EXPECT_EQ(estimate.interval->low, 8);
    EXPECT_EQ(estimate.interval->high, 8);
  }
}

// One document of twelve differs: a third of the resamples miss it and have no spread, so that studentised
// limits are infinite.
TEST(Statistics, NeverInfinite) {
  std::vector<RatioTerm> documents(12, {2, 1});
  documents[5].numerator = 3;
  const Estimate estimate = ratio_estimate(documents);
  ASSERT_TRUE(estimate.interval);
  EXPECT_TRUE(std::isfinite(estimate.interval->low));
  EXPECT_TRUE(std::isfinite(estimate.interval->high));
  EXPECT_LE(estimate.interval->low, estimate.value);
  EXPECT_GE(estimate.interval->high, estimate.value);
  // One document holds the whole denominator.
  std::vector<RatioTerm> lone(12, {0, 0});
  lone[3] = {2, 1};
  EXPECT_EQ(ratio_estimate(lone).value, 2);
}

TEST(Statistics, BadTermsAreRefused) {
  std::vector<RatioTerm> documents = kSample;
  documents[3].numerator = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(message_of([&] { ratio_estimate(documents); }), HasSubstr("document 3"));
  documents[3] = {1, -1};
  EXPECT_THAT(message_of([&] { ratio_estimate(documents); }), HasSubstr("1 / -1"));
  EXPECT_THAT(message_of([&] { ratio_estimate(kSample, 1.0); }), HasSubstr("confidence"));
  EXPECT_THAT(message_of([&] { ratio_estimate(kSample, 0.95, 1, 0); }), HasSubstr("resamples"));
}

TEST(Statistics, CompensatedSumKeepsSmallTerms) {
  CompensatedSum sum;
  for (const double value : {1.0, 1e100, 1.0, -1e100}) sum.add(value);
  EXPECT_EQ(sum.value(), 2.0);
  CompensatedSum tenths;
  for (int i = 0; i < 10000000; ++i) tenths.add(0.1);
  EXPECT_DOUBLE_EQ(tenths.value(), 1000000.0);
}

TEST(Statistics, SevenThousandDocumentsWellUnderASecond) {
  Random random(3);
  std::vector<RatioTerm> documents;
  for (int i = 0; i < 7500; ++i) documents.push_back({1 + random.unit(), 1 + random.unit()});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(ratio_estimate(documents).interval);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  RecordProperty("seconds", std::to_string(taken.count()));
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__)
  EXPECT_LT(taken.count(), 1.0);
#endif
}

struct Population {
  double sigma, length, rho;
};

double true_ratio(const Population& population) {
  return std::exp(population.sigma * population.sigma / 2 +
                  population.rho * population.sigma * population.length);
}

void draw(const Population& population, Random& random, std::vector<RatioTerm>& corpus) {
  const boost::math::normal normal;
  for (RatioTerm& term : corpus) {
    const double length = boost::math::quantile(normal, random.unit() + 0x1p-54);
    const double own = boost::math::quantile(normal, random.unit() + 0x1p-54);
    const double ratio = population.rho * length + std::sqrt(1 - population.rho * population.rho) * own;
    term.denominator = std::exp(population.length * length);
    term.numerator = term.denominator * std::exp(population.sigma * ratio);
  }
}

// Share of intervals that hold the population's ratio, of `trials` corpora of `documents` documents.
double coverage(const Population& population, std::size_t documents, int trials, int resamples,
                IntervalMethod method) {
  const double truth = true_ratio(population);
  Random random(20260401);
  std::vector<RatioTerm> corpus(documents);
  int held = 0;
  for (int trial = 0; trial < trials; ++trial) {
    draw(population, random, corpus);
    const Interval interval = *ratio_estimate(corpus, 0.95, random.next(), resamples, method).interval;
    held += interval.low <= truth && truth <= interval.high;
  }
  return 100.0 * held / trials;
}

// DECIBAN_LONG=1: 10,000 corpora of each kind and the table above; otherwise enough to notice a wrong method.
TEST(StatisticsCoverage, IntervalsHoldWhatTheyPromise) {
  const bool all = std::getenv("DECIBAN_LONG") != nullptr;
  const int trials = all ? 10000 : 1500, resamples = all ? 2000 : 600;
  const double noise = all ? 0 : 3 * 100 * std::sqrt(0.06 * 0.94 / trials);
  const std::vector<Population> populations{
      {1, 0, 0}, {1, 0.3, 0}, {1, 0.5, 0}, {1, 0.5, -0.3}, {0.3, 0.7, 0}};
  for (std::size_t i = 0; i < populations.size(); ++i) {
    const Population& population = populations[i];
    if (!all && i != 2) continue;
    for (const std::size_t documents : {10, 30, 100, 200, 500}) {
      if (!all && documents != 30 && documents != 200) continue;
      const double held = coverage(population, documents, trials, resamples, IntervalMethod::studentized);
      if (all) {
        std::printf("// %5.1f  %6.1f  %4.1f  %9zu  %11.1f  %4.1f\n", population.sigma, population.length,
                    population.rho, documents, held,
                    coverage(population, documents, trials, resamples, IntervalMethod::bca));
        std::fflush(stdout);
      }
      if (documents >= 30) {
        EXPECT_GE(held, 92.0 - noise) << documents;
      }
      if (documents >= 200) {
        EXPECT_GE(held, 93.5 - noise) << documents;
        EXPECT_LE(held, 96.5 + noise) << documents;
      }
    }
  }
}

// Several small corpora: macro average and pooled ratio (of which the truth is weighted by the lengths'
// means).
TEST(StatisticsCoverage, StrataHoldWhatTheyPromise) {
  const int trials = std::getenv("DECIBAN_LONG") ? 10000 : 1500;
  const double noise = 3 * 100 * std::sqrt(0.06 * 0.94 / trials);
  const std::vector<Population> populations{{1, 0.5, 0}, {0.3, 0.7, 0}, {0.7, 0.3, -0.3}, {1, 0, 0}};
  double macro_truth = 0, numerators = 0, denominators = 0;
  for (const Population& population : populations) {
    const double length = std::exp(population.length * population.length / 2);
    macro_truth += true_ratio(population) / static_cast<double>(populations.size());
    numerators += true_ratio(population) * length;
    denominators += length;
  }
  const double pooled_truth = numerators / denominators;
  Random random(7);
  std::vector<std::vector<RatioTerm>> corpora(populations.size(), std::vector<RatioTerm>(30));
  int macro_held = 0, pooled_held = 0;
  for (int trial = 0; trial < trials; ++trial) {
    for (std::size_t c = 0; c < corpora.size(); ++c) draw(populations[c], random, corpora[c]);
    const Interval macro = *macro_estimate(corpora, 0.95, random.next(), 600).interval;
    const Interval pooled = *pooled_estimate(corpora, 0.95, random.next(), 600).interval;
    macro_held += macro.low <= macro_truth && macro_truth <= macro.high;
    pooled_held += pooled.low <= pooled_truth && pooled_truth <= pooled.high;
  }
  for (const int held : {macro_held, pooled_held}) {
    EXPECT_GE(100.0 * held / trials, 92.0 - noise);
    EXPECT_LE(100.0 * held / trials, 96.5 + noise);
  }
}

}  // namespace
}  // namespace deciban
