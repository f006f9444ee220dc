#include "bench/roofline.h"

#include <gtest/gtest.h>

namespace deciban {
namespace {

TEST(Settle, IgnoresWhatOnlyMakesSlower) {
  int calls = 0;
  const Rate rate = settle([&] { return ++calls % 2 == 0 ? 10.0 : 3.0 + calls; }, 10);
  EXPECT_EQ(rate.median, 10);
  EXPECT_LE(rate.low, 4);
  EXPECT_GE(rate.high, 10);
  EXPECT_GE(calls, 7);
}

TEST(Settle, EndsWhenTheBudgetIsSpent) {
  int calls = 0;
  settle([&] { return static_cast<double>(1 << ++calls); }, 0);  // never settles
  EXPECT_EQ(calls, 7);
}

TEST(Summarise, GivesMedianAndRange) {
  const Rate rate = summarise({5, 1, 3});
  EXPECT_EQ(rate.median, 3);
  EXPECT_EQ(rate.low, 1);
  EXPECT_EQ(rate.high, 5);
}

// The machine may be busy: only what no disturbance can turn round.
TEST(Roofline, RanksInstructionsAndBoundsWork) {
  const Roofline roof(1);
  ASSERT_FALSE(roof.peaks().empty());
  for (const Peak& peak : roof.peaks()) EXPECT_GT(peak.gflops.median, 0.5) << peak.instruction;
  EXPECT_GT(roof.bandwidth(1).median, 0.1);
  EXPECT_THROW(roof.bandwidth(2), std::invalid_argument);
  EXPECT_THROW(roof.peaks(2), std::invalid_argument);
  const std::string least = supported_isas().front();
  EXPECT_THROW(roof.peak(least, numeric_mode("f32"), 0), std::invalid_argument);
  const NumericMode f32 = numeric_mode("f32");
  const double arithmetic = roof.seconds(least, f32, 1e9, 0, 1),
               reading = roof.seconds(least, f32, 0, 1e9, 1);
  EXPECT_DOUBLE_EQ(arithmetic, 1 / roof.peak(least, f32).gflops.median);
  EXPECT_DOUBLE_EQ(reading, 1 / roof.bandwidth(1).median);
  EXPECT_DOUBLE_EQ(roof.seconds(least, f32, 1e9, 1e9, 1), std::max(arithmetic, reading));
  for (const std::string& isa : supported_isas()) {
    for (const char* mode : {"f32", "bf16", "bf16a", "f16", "int8", "int8a", "int4", "int4g64"}) {
      EXPECT_GT(roof.peak(isa, numeric_mode(mode)).gflops.median, 0) << isa << ' ' << mode;
    }
  }
}

// Of threads that share a core each gets less, but the processor time it has counts for all of it.
TEST(Roofline, MeasuresThreadsTogether) {
  const Roofline roof(2);
  ASSERT_EQ(roof.peaks(2).size(), roof.peaks(1).size());
  for (std::size_t i = 0; i < roof.peaks(1).size(); ++i) {
    const Peak &one = roof.peaks(1)[i], &two = roof.peaks(2)[i];
    EXPECT_EQ(one.instruction, two.instruction);
    EXPECT_GT(two.gflops.median, one.gflops.median) << one.instruction;
  }
}

}  // namespace
}  // namespace deciban
