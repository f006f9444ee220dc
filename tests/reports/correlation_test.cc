#include "reports/correlation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace deciban {
namespace {

const std::vector<double> kX{1.61, 1.66, 1.67, 1.81, 1.92, 2.05, 1.70},
    kY{0.61, 0.55, 0.57, 0.48, 0.44, 0.45, 0.52};

// scipy.stats.pearsonr and its confidence_interval(0.95).
TEST(Correlation, PearsonAgreesWithScipy) {
  const Correlation r = pearson(kX, kY);
  EXPECT_NEAR(r.value, -0.9087277235433645, 1e-14);
  EXPECT_NEAR(r.interval->low, -0.9866184071152565, 1e-12);
  EXPECT_NEAR(r.interval->high, -0.49313219731819935, 1e-12);
}

// scipy.stats.spearmanr, with a tie; the interval from NumPy by the formula of Bonett and Wright.
TEST(Correlation, SpearmanAgreesWithScipy) {
  const Correlation r = spearman(std::vector<double>{1, 2, 2, 4, 5, 6, 7}, kY);
  EXPECT_NEAR(r.value, -0.7387687194103584, 1e-14);
  EXPECT_NEAR(r.interval->low, -0.967612542826981, 1e-12);
  EXPECT_NEAR(r.interval->high, 0.1565773825977948, 1e-12);
}

TEST(Correlation, FewOrConstantValuesSayNothing) {
  EXPECT_FALSE(pearson(std::vector<double>{1, 2, 3}, std::vector<double>{1, 2, 4}).interval);
  EXPECT_TRUE(std::isnan(pearson(std::vector<double>{1, 1, 1, 1}, std::vector<double>{1, 2, 3, 4}).value));
  EXPECT_THROW(pearson(kX, std::vector<double>{1}), std::invalid_argument);
}

}  // namespace
}  // namespace deciban
