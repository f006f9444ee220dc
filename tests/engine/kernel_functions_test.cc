// The elementary functions of engine/cpu/simd.h on every kernel table, against libm in float64.  The limits
// here are what simd.h claims.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <limits>

#include "engine/cpu/kernels.h"
#include "engine/ops.h"

namespace deciban {
namespace {

struct Function {
  const char* name;
  int which;  // of Kernels::function
  double (*exact)(double x);
  float low, high;  // where results are normal numbers and not saturated
  double ulps;      // the limit
};
const Function kFunctions[] = {
    {"exp", 0, [](double x) { return std::exp(x); }, -87.33654f, 88.37f, 1.01},
    {"sigmoid", 1, [](double x) { return 1 / (1 + std::exp(-x)); }, -87.33654f, 1e30f, 1.8},
    {"tanh", 2, [](double x) { return std::tanh(x); }, -1e30f, 1e30f, 1.3},
    {"exp_term", 3, [](double x) { return std::exp(x); }, -86.0f, 88.0f, 1.3},
};

std::vector<float> apply(const cpu::Kernels& kernels, const Function& f, const std::vector<float>& x) {
  std::vector<float> y(x.size());
  kernels.function(f.which, x.data(), y.data(), x.size());
  return y;
}

// Distance in units of the last place of the exact result as f32.
double ulps(float got, double exact) {
  if (got == exact) return 0;
  int exponent;
  std::frexp(static_cast<float>(exact), &exponent);
  return std::abs(got - exact) / std::ldexp(1.0, std::max(exponent - 24, -149));
}

// All exponents and signs with mantissas in steps that share no factor with them, then an even sweep where it
// matters.
std::vector<float> arguments(const Function& f) {
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits <= 0xffffffffu; bits += 1021) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (value >= f.low && value <= f.high) x.push_back(value);
  }
  const double low = std::max(f.low, -90.0f), high = std::min(f.high, 90.0f);
  constexpr int kSteps = 1 << 20;
  for (int i = 0; i <= kSteps; ++i)
    x.push_back(std::clamp(static_cast<float>(low + (high - low) * i / kSteps), f.low, f.high));
  return x;
}

TEST(KernelFunctions, AreAsExactAsTheyClaim) {
  for (const Function& f : kFunctions) {
    const std::vector<float> x = arguments(f);
    ASSERT_GT(x.size(), std::size_t{1} << 20);
    for (const std::string& isa : supported_isas()) {
      const std::vector<float> y = apply(cpu::find_kernels(isa), f, x);
      double worst = 0;
      float where = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double off = ulps(y[i], f.exact(x[i]));
        if (!(off <= worst)) {
          worst = off;
          where = x[i];
        }
      }
      EXPECT_LE(worst, f.ulps) << f.name << '(' << where << ") on " << isa;
      EXPECT_GT(worst, 0.5 * f.ulps) << f.name << " on " << isa << ": the claim is far too modest";
      std::cout << f.name << " on " << isa << ": " << worst << " ulp at " << where << "\n";
    }
  }
}

TEST(KernelFunctions, SaturateAndNeverInventNan) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {-infinity, -1e30f, -1e4f, -88.0f, -0.0f, 0.0f, 1e-30f, 1e4f, 1e30f, infinity};
  const float top = static_cast<float>(std::exp(88.37));
  const std::vector<float> expected[] = {
      {0, 0, 0, 0, 1, 1, 1, top, top, top},
      {0, 0, 0, 0, 0.5f, 0.5f, 0.5f, 1, 1, 1},
      {-1, -1, -1, -1, 0, 0, 1e-30f, 1, 1, 1},
  };
  const float bottom = static_cast<float>(std::exp(-86.0));
  for (const std::string& isa : supported_isas()) {
    for (const Function& f : kFunctions) {
      const std::vector<float> y = apply(cpu::find_kernels(isa), f, x);
      if (f.which == 3) {  // made for x up to 88 only; below, terms that do not count
        for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(y[i], bottom, bottom * 1e-5) << x[i] << " on " << isa;
        continue;
      }
      for (std::size_t i = 0; i < x.size(); ++i) {
        EXPECT_NEAR(y[i], expected[f.which][i], std::abs(expected[f.which][i]) * 1e-5)
            << f.name << '(' << x[i] << ") on " << isa;
      }
    }
  }
}

// A NaN must reach the log-probabilities, where it is reported, and never turn into a plausible number.
TEST(KernelFunctions, KeepNan) {
  const std::vector<float> x(5, std::nanf(""));
  for (const std::string& isa : supported_isas()) {
    for (const Function& f : kFunctions) {
      for (const float y : apply(cpu::find_kernels(isa), f, x))
        EXPECT_TRUE(std::isnan(y)) << f.name << " on " << isa;
    }
  }
}

// The arrays' ends: any length, nothing behind it touched, and a value does not depend on its place.
TEST(KernelFunctions, DoNotDependOnThePlace) {
  for (const std::string& isa : supported_isas()) {
    const cpu::Kernels& kernels = cpu::find_kernels(isa);
    for (std::size_t count = 1; count <= 33; ++count) {
      const std::vector<float> x(count, -0.75f);
      std::vector<float> y(count + 1, 7.0f);
      kernels.function(1, x.data(), y.data(), count);
      for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(y[i], y[0]);
      EXPECT_EQ(y[count], 7.0f);
    }
  }
}

TEST(FindKernels, RefusesUnknownNames) {
  EXPECT_THROW(cpu::find_kernels("mmx"), std::invalid_argument);
  for (const std::string& isa : supported_isas()) EXPECT_EQ(cpu::find_kernels(isa).name, isa);
}

}  // namespace
}  // namespace deciban
