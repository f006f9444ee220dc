#include "bench/gate_baseline.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace deciban {
namespace {

Baseline baseline_of(const std::string& cpu, double seconds, double roof, double uncertainty = 0) {
  Baseline b{cpu, "abc", "2026-01-01T00:00:00Z", 1, {}};
  BaselineCase c{"case @avx2", roof, uncertainty, {}};
  for (int i = 0; i < 30; ++i) c.seconds.push_back(seconds * (1 + 0.001 * (i % 5)));
  b.cases = {c};
  return b;
}

SpeedVerdict verdict(const Baseline& before, const Baseline& after) {
  return judge_speed(compare_baselines(before, after, 0.05).cases)[0].verdict;
}

TEST(Baseline, ReadsBackWhatItWrote) {
  const Baseline b = baseline_of("cpu", 1.25e-5, 1e-6, 0.02), back = parse_baseline(to_json(b), "b.json");
  EXPECT_EQ(back.cpu, b.cpu);
  EXPECT_EQ(back.commit, b.commit);
  EXPECT_EQ(back.date, b.date);
  EXPECT_EQ(back.threads, b.threads);
  ASSERT_EQ(back.cases.size(), 1u);
  EXPECT_EQ(back.cases[0].name, "case @avx2");
  EXPECT_EQ(back.cases[0].roof_seconds, 1e-6);
  EXPECT_EQ(back.cases[0].roof_uncertainty, 0.02);
  EXPECT_EQ(back.cases[0].seconds, b.cases[0].seconds);
}

TEST(Baseline, RefusesWhatIsNone) {
  for (
      const char* text :
      {"", "{", "[]", "{}", R"({"format": "other"})", R"({"format": "deciban gate baseline", "version": 9})",
       R"({"format": "deciban gate baseline", "version": 1, "cpu": "", "commit": "", "date": "", "threads": 1, "cases": []})",
       R"({"format": "deciban gate baseline", "version": 1, "cpu": "", "commit": "", "date": "", "threads": 1,
            "cases": [{"name": "x", "roof_seconds": 1, "roof_uncertainty": 0, "seconds": [1, -1]}]})"}) {
    EXPECT_THROW(parse_baseline(text, "b.json"), std::runtime_error) << text;
  }
}

TEST(Baseline, OnTheSameMachineSmallChangesCount) {
  const Baseline old = baseline_of("cpu", 1e-5, 1e-6);
  EXPECT_EQ(verdict(old, baseline_of("cpu", 1e-5, 1e-6)), SpeedVerdict::same);
  EXPECT_EQ(verdict(old, baseline_of("cpu", 1.1e-5, 1e-6)), SpeedVerdict::slower);
  EXPECT_EQ(verdict(old, baseline_of("cpu", 0.9e-5, 1e-6)), SpeedVerdict::faster);
}

// The clock went down, and the roofline with it: the share is what it was.
TEST(Baseline, IsAShareOfTheRoofline) {
  EXPECT_EQ(verdict(baseline_of("cpu", 1e-5, 1e-6), baseline_of("cpu", 2e-5, 2e-6)), SpeedVerdict::same);
}

TEST(Baseline, OfAnotherMachineOnlyFlagsThirtyPerCent) {
  const Baseline old = baseline_of("one", 1e-5, 1e-6);
  EXPECT_FALSE(compare_baselines(old, baseline_of("two", 1e-5, 1e-6), 0.05).same_machine);
  EXPECT_EQ(verdict(old, baseline_of("two", 2.5e-5, 2e-6)), SpeedVerdict::same);
  EXPECT_EQ(verdict(old, baseline_of("two", 2.7e-5, 2e-6)), SpeedVerdict::slower);
}

TEST(Baseline, WhatTheRooflineIsUnsureOfIsNoRegression) {
  EXPECT_EQ(verdict(baseline_of("cpu", 1e-5, 1e-6, 0.04), baseline_of("cpu", 1.1e-5, 1e-6, 0.04)),
            SpeedVerdict::same);
}

TEST(Baseline, NamesCasesThatAreGone) {
  Baseline other = baseline_of("cpu", 1e-5, 1e-6);
  other.cases[0].name = "another";
  EXPECT_EQ(compare_baselines(baseline_of("cpu", 1e-5, 1e-6), other, 0.05).missing,
            std::vector<std::string>{"case @avx2"});
}

}  // namespace
}  // namespace deciban
