#include "reports/order_statistics.h"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

namespace deciban {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// numpy.quantile([3, 1, 2, 10], …)
TEST(OrderStatistics, QuantilesOfSamples) {
  EXPECT_DOUBLE_EQ(quantile_of({3, 1, 2, 10}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile_of({3, 1, 2, 10}, 0.9), 7.9);
  EXPECT_DOUBLE_EQ(quantile_of({3, 1, 2, 10}, 0), 1);
  EXPECT_DOUBLE_EQ(quantile_of({3, 1, 2, 10}, 1), 10);
  EXPECT_DOUBLE_EQ(quantile_of({7}, 0.3), 7);
  EXPECT_EQ(quantile_of({1, kInfinity, kInfinity}, 0.75), kInfinity);
  EXPECT_THROW((void)quantile_of({}, 0.5), std::invalid_argument);
}

TEST(OrderStatistics, TailsOfResampledValues) {
  const std::vector<double> sorted{1, 2, 3, 4, 5, 6, 7, 8, 9};  // the k-th at k / 10
  EXPECT_DOUBLE_EQ(resampled_quantile(sorted, 0.1), 1);
  EXPECT_DOUBLE_EQ(resampled_quantile(sorted, 0.25), 2.5);
  EXPECT_DOUBLE_EQ(resampled_quantile(sorted, 0.01), 1);
  EXPECT_DOUBLE_EQ(resampled_quantile(sorted, 0.99), 9);
}

}  // namespace
}  // namespace deciban
