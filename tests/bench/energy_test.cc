#include "bench/energy.h"

#include <gtest/gtest.h>

namespace deciban {
namespace {

// A counter that moves every 100 steps of 0.5 joules, read around stretches of 16 steps with 7 between.
TEST(Energy, AStandingCounterCountsToo) {
  const auto counter = [](int step) { return static_cast<double>(step / 100) * 50; };
  Energy energy;
  for (int at = 0; at < 23000; at += 23) energy.add(counter(at), counter(at + 16), 16);
  const auto step = energy.of_a_step();
  ASSERT_TRUE(step);
  EXPECT_NEAR(step->value, 0.5, 0.1);
  EXPECT_LT(step->low, 0.5);
  EXPECT_GT(step->high, 0.5);
  EXPECT_EQ(step->samples, 1000u);
}

TEST(Energy, WhatIsNotToldIsNotCounted) {
  Energy energy;
  energy.add(std::nullopt, 1, 10);
  energy.add(1, std::nullopt, 10);
  energy.add(9, 1, 10);  // began anew
  energy.add(4, 4, 10);  // stood still
  EXPECT_FALSE(energy.of_a_step());
  energy.add(4, 8, 10);
  ASSERT_TRUE(energy.of_a_step());
  EXPECT_DOUBLE_EQ(energy.of_a_step()->value, 0.2);  // 4 joules, 20 steps
}

}  // namespace
}  // namespace deciban
