#include "bench/samples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "reports/random.h"

namespace deciban {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A clock that only runs as the samples say.
struct Simulated {
  double now = 0;
  std::size_t runs = 0;
  std::function<std::vector<double>()> taking(std::function<double(std::size_t)> seconds) {
    return [this, seconds]() -> std::vector<double> {
      const double taken = seconds(runs++);
      now += taken;
      return {taken};
    };
  }
  std::function<double()> clock() {
    return [this] { return now; };
  }
};

TEST(MedianOf, HasTheOrderStatisticsOfTheBinomial) {
  std::vector<double> samples(20);
  std::iota(samples.begin(), samples.end(), 1);
  std::reverse(samples.begin(), samples.end());
  const CostValue median = median_of(samples);
  EXPECT_EQ(median.value, 10.5);
  EXPECT_EQ(median.low, 6);  // P(B(20, 1/2) <= 5) = 0.0207
  EXPECT_EQ(median.high, 15);
  EXPECT_EQ(median.samples, 20u);
  const CostValue few = median_of({3, 1, 2});
  EXPECT_EQ(few.low, 1);
  EXPECT_EQ(few.high, 3);
}

TEST(MedianOf, HoldsTheTrueMedianAsOftenAsItSays) {
  Random random(1);
  int held = 0;
  constexpr int kTrials = 4000;
  for (int t = 0; t < kTrials; ++t) {
    std::vector<double> samples(31);
    for (double& s : samples) {
      const double u = random.unit();
      s = u * u * u;  // skewed; its median is 1/8
    }
    const CostValue median = median_of(samples);
    held += median.low <= 0.125 && 0.125 <= median.high;
  }
  EXPECT_GE(held, 0.945 * kTrials);
}

TEST(Sample, TheFirstRunWarmsUp) {
  Simulated machine;
  std::vector<std::string> unmet;
  const auto all = sample(machine.taking([](std::size_t i) { return i == 0 ? 5.0 : 1.0; }),
                          {.least_runs = 3, .least_seconds = 0, .noise = 0.03, .limit_seconds = 100},
                          "prefill", unmet, machine.clock());
  EXPECT_THAT(all, ElementsAre(1, 1, 1));
  EXPECT_THAT(unmet, IsEmpty());
}

TEST(Sample, GoesOnUntilTheNoiseIsLow) {
  Simulated machine;
  Random random(3);
  std::vector<std::string> unmet;
  const auto all = sample(machine.taking([&](std::size_t) { return 1 + 0.3 * random.unit(); }),
                          {.least_runs = 5, .least_seconds = 0, .noise = 0.01, .limit_seconds = 1e6}, "step",
                          unmet, machine.clock());
  EXPECT_THAT(unmet, IsEmpty());
  EXPECT_GT(all.size(), 50u);
  const CostValue median = median_of(all);
  EXPECT_LE((median.high - median.low) / 2 / median.value, 0.01);
}

TEST(Sample, NamesWhatItMissed) {
  Simulated machine;
  std::vector<std::string> unmet;
  const auto all = sample(machine.taking([](std::size_t) { return 40.0; }),
                          {.least_runs = 5, .least_seconds = 100, .noise = 0.03, .limit_seconds = 60},
                          "prefill", unmet, machine.clock());
  EXPECT_THAT(all, ElementsAre(40));  // too long to warm up first, and too long for another
  EXPECT_THAT(unmet, ElementsAre("prefill: 1 of 5 runs", "prefill: 40 of 1e+02 s", "prefill: noise unknown"));
}

}  // namespace
}  // namespace deciban
