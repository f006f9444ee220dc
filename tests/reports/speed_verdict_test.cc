// Verdicts over simulated gate runs: a case's noise is lognormal with outliers that only make slower, a drift
// that both sides share, neighbours that are busy for some rounds, and a luck of each process.
#include "reports/speed_verdict.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <numbers>

#include "reports/google_benchmark.h"
#include "reports/random.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

double gaussian(Random& random) {
  return std::sqrt(-2 * std::log(1 - random.unit())) * std::cos(2 * std::numbers::pi * random.unit());
}

struct Noise {
  int batches = 5;          // a timing is the fastest of so many, as `gate ab` takes it
  double jitter = 0.035;    // of each batch
  double luck = 0.012;      // of each process (its memory's layout), one a round and side
  double outliers = 0.12;   // share of batches that something disturbed, by an exponential of mean 40 %
  double drift = 0.1;       // from the first round to the last
  double neighbours = 0.1;  // what a busy neighbour costs, as a state that lasts some rounds
};

// A whole gate run: `cases` cases, of which the first is slowed by `slowdown`.
std::vector<SpeedSamples> simulate(Random& random, const Noise& noise, std::size_t cases, std::size_t rounds,
                                   double slowdown, double all_slowed = 0) {
  std::vector<SpeedSamples> samples(cases);
  bool busy = false;
  for (std::size_t r = 0; r < rounds; ++r) {
    if (random.unit() < 0.2) busy = !busy;
    const double drift = noise.drift * static_cast<double>(r) / static_cast<double>(rounds);
    const double luck[2] = {noise.luck * gaussian(random), noise.luck * gaussian(random)};
    for (std::size_t c = 0; c < cases; ++c) {
      samples[c].name = "case " + std::to_string(c);
      samples[c].paired = true;
      for (int side = 0; side < 2; ++side) {
        double log = 1e9;
        for (int b = 0; b < noise.batches; ++b) {
          double batch = noise.jitter * gaussian(random);
          if (busy) batch += noise.neighbours * random.unit();
          if (random.unit() < noise.outliers) batch += -0.4 * std::log(1 - random.unit());
          log = std::min(log, batch);
        }
        log += drift + luck[side];
        if (side == 1) log += std::log1p((c == 0 ? slowdown : 0) + all_slowed);
        (side == 0 ? samples[c].before : samples[c].after).push_back(1e-3 * std::exp(log));
      }
    }
  }
  return samples;
}

bool any_slower(const std::vector<SpeedResult>& results) {
  return std::any_of(results.begin(), results.end(),
                     [](const SpeedResult& r) { return r.verdict == SpeedVerdict::slower; });
}

constexpr int kTrials = 1000;
constexpr std::size_t kCases = 20, kRounds = 30;

TEST(SpeedSimulation, FindsTenPercentInNineRunsOfTen) {
  Random random(1);
  int found = 0, wrong = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<SpeedResult> results = judge_speed(simulate(random, {}, kCases, kRounds, 0.10));
    found += results[0].verdict == SpeedVerdict::slower;
    results.erase(results.begin());
    wrong += any_slower(results);
  }
  std::cout << "10 % slower found in " << found << " of " << kTrials << " runs, another case blamed in "
            << wrong << "\n";
  EXPECT_GE(found, 900);
  EXPECT_LE(wrong, 10);
}

TEST(SpeedSimulation, UnchangedCodeRaisesNoAlarm) {
  Random random(2);
  int alarms = 0, same = 0, faster = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    const std::vector<SpeedResult> results = judge_speed(simulate(random, {}, kCases, kRounds, 0));
    alarms += any_slower(results);
    for (const SpeedResult& r : results) {
      same += r.verdict == SpeedVerdict::same;
      faster += r.verdict == SpeedVerdict::faster;
    }
  }
  std::cout << alarms << " false alarms in " << kTrials << " runs; " << same << " of " << kTrials * kCases
            << " cases called the same\n";
  EXPECT_LE(alarms, 10);
  EXPECT_LE(faster, 10);
  EXPECT_GT(same, kTrials * static_cast<int>(kCases) / 2);
}

// The promise where it is hardest to keep: every case is slower by just the effect that does not matter.
TEST(SpeedSimulation, TheRateIsThatOfTheWholeRun) {
  Random random(3);
  int alarms = 0;
  // Luck is a process's, so cases of one run share it: that only makes Holm's bound looser.
  for (int trial = 0; trial < kTrials; ++trial)
    alarms += any_slower(judge_speed(simulate(random, {}, kCases, kRounds, 0, 0.05)));
  std::cout << alarms << " alarms in " << kTrials << " runs at the least effect itself\n";
  EXPECT_LE(alarms, 10 + 3 * 3);  // 1 % and three standard deviations of the count
}

// Samples without pairs, as another project's two files have them; drift within a file is then noise.
TEST(SpeedSimulation, UnpairedSamplesKeepTheirPromisesToo) {
  Random random(4);
  int found = 0, alarms = 0;
  const Noise quiet{
      .batches = 1, .jitter = 0.015, .luck = 0, .outliers = 0.05, .drift = 0.01, .neighbours = 0};
  for (int trial = 0; trial < kTrials; ++trial) {
    for (const double slowdown : {0.0, 0.10}) {
      std::vector<SpeedSamples> samples = simulate(random, quiet, 10, 20, slowdown);
      for (SpeedSamples& s : samples) s.paired = false;
      const std::vector<SpeedResult> results = judge_speed(samples);
      if (slowdown > 0) {
        found += results[0].verdict == SpeedVerdict::slower;
      } else {
        alarms += any_slower(results);
      }
    }
  }
  EXPECT_GE(found, 900);
  EXPECT_LE(alarms, 10);
}

// Timings that `gate ab --samples` recorded of one build against itself on a busy machine.
std::vector<SpeedSamples> recorded() {
  const auto cases =
      compare_runs(read_benchmark_json(golden("gate/old.json")), read_benchmark_json(golden("gate/new.json")))
          .cases;
  EXPECT_GE(cases.size(), 4u);
  for (const SpeedSamples& s : cases) EXPECT_TRUE(s.paired) << s.name;
  return cases;
}

TEST(SpeedRecorded, UnchangedCodeRaisesNoAlarm) { EXPECT_FALSE(any_slower(judge_speed(recorded()))); }

TEST(SpeedRecorded, FindsEachCaseThatIsTenPercentSlower) {
  const std::vector<SpeedSamples> cases = recorded();
  for (std::size_t slowed = 0; slowed < cases.size(); ++slowed) {
    std::vector<SpeedSamples> changed = cases;
    for (double& seconds : changed[slowed].after) seconds *= 1.10;
    const auto results = judge_speed(changed);
    for (std::size_t i = 0; i < results.size(); ++i)
      EXPECT_EQ(results[i].verdict == SpeedVerdict::slower, i == slowed) << results[i].name;
  }
}

SpeedSamples constant(double ratio, std::size_t rounds) {
  SpeedSamples s{"case", {}, {}, true, 0};
  for (std::size_t i = 0; i < rounds; ++i) {
    s.before.push_back(1 + 0.001 * static_cast<double>(i % 3));
    s.after.push_back(ratio * (1 + 0.001 * static_cast<double>(i % 4)));
  }
  return s;
}

TEST(SpeedVerdict, BeginsAtUnclear) {
  EXPECT_EQ(SpeedResult{}.verdict, SpeedVerdict::unclear);
  const SpeedSamples none{"none", {}, {}, true, 0};
  const auto results = judge_speed(std::span(&none, 1));
  EXPECT_EQ(results[0].verdict, SpeedVerdict::unclear);
  EXPECT_EQ(results[0].reason, "0 of the 7 samples that a verdict needs");
}

TEST(SpeedVerdict, NeedsTheLeastEffectToBeExceeded) {
  const auto verdict = [](double ratio, double extra = 0) {
    SpeedSamples s = constant(ratio, 20);
    s.extra_effect = extra;
    return judge_speed(std::span(&s, 1))[0].verdict;
  };
  EXPECT_EQ(verdict(1), SpeedVerdict::same);
  EXPECT_EQ(verdict(1.04), SpeedVerdict::same);
  EXPECT_EQ(verdict(1.06), SpeedVerdict::slower);
  EXPECT_EQ(verdict(1.06, 0.03), SpeedVerdict::same);
  EXPECT_EQ(verdict(0.9), SpeedVerdict::faster);
}

TEST(SpeedVerdict, EstimatesTheRatio) {
  const SpeedSamples s = constant(1.25, 20);
  const SpeedResult r = judge_speed(std::span(&s, 1))[0];
  EXPECT_NEAR(r.ratio, 1.25, 0.003);
  ASSERT_TRUE(r.interval);
  EXPECT_LE(r.interval->low, r.ratio);
  EXPECT_GE(r.interval->high, r.ratio);
  EXPECT_LT(r.p_slower, 1e-5);
}

// By hand: of n pairs that all speak for the new being slower p is 2^-n.  The smallest of three counts three
// times, the next twice, and none may fall below the one before.
TEST(SpeedVerdict, AdjustsStepByStepOverAllCases) {
  const std::vector<SpeedSamples> cases{constant(2, 8), constant(2, 10), constant(2, 9)};
  const auto results = judge_speed(cases);
  EXPECT_DOUBLE_EQ(results[1].p_slower, 3 * std::ldexp(1, -10));
  EXPECT_DOUBLE_EQ(results[2].p_slower, 2 * std::ldexp(1, -9));
  EXPECT_DOUBLE_EQ(results[0].p_slower, 2 * std::ldexp(1, -9));
  EXPECT_EQ(results[0].p_faster, 1);
  EXPECT_TRUE(judge_speed({}).empty());
}

TEST(SpeedVerdict, SaysHowManySamplesItNeeds) {
  EXPECT_EQ(least_samples(1, true, 0.01), 7u);    // 2^-7 < 1 %
  EXPECT_EQ(least_samples(20, true, 0.01), 11u);  // 2^-11 < 0.05 %
  EXPECT_EQ(least_samples(1, false, 0.01), 5u);   // 1 / 252
  const SpeedSamples enough = constant(2, 7), few = constant(2, 6);
  EXPECT_EQ(judge_speed(std::span(&enough, 1))[0].verdict, SpeedVerdict::slower);
  EXPECT_EQ(judge_speed(std::span(&few, 1))[0].verdict, SpeedVerdict::unclear);
}

TEST(SpeedVerdict, RefusesWhatIsNoTiming) {
  for (const double bad : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    SpeedSamples s = constant(1, 10);
    s.after[3] = bad;
    EXPECT_THROW(judge_speed(std::span(&s, 1)), std::invalid_argument) << bad;
  }
  SpeedSamples s = constant(1, 10);
  s.after.pop_back();
  EXPECT_THROW(judge_speed(std::span(&s, 1)), std::invalid_argument);
  EXPECT_THROW(judge_speed({}, {.effect = -1}), std::invalid_argument);
}

}  // namespace
}  // namespace deciban
