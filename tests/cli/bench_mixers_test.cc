// deciban bench mixers: points, what is not tried, and the table of laws beside the paper's.
#include "cli/bench_mixers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "bench/mixers/mixer.h"

namespace deciban {
namespace {

using testing::HasSubstr;

MixerRequest request(const std::string& name, std::size_t length, std::size_t width = 64) {
  MixerRequest r;
  r.name = name;
  r.machine = "test";
  r.length = length;
  r.width = width;
  r.goal = {2, 0, 10, 5};
  return r;
}

TEST(BenchMixers, APointHasTimeRateAndMemory) {
  const CostPoint point = measure_mixer(request("rwkv4", 100), nullptr);
  EXPECT_EQ(point.kind, "mixer");
  EXPECT_EQ(point.status, "ok");
  EXPECT_EQ(point.model, "RWKV-4");
  EXPECT_GT(point.metrics.at("mix_seconds").value, 0);
  EXPECT_EQ(point.metrics.at("memory_bytes").value, 3 * 64 * 4);  // the state alone
  EXPECT_EQ(cost_from_json(to_json_line(point)), point);
  EXPECT_NE(mixer_point_key(request("rwkv4", 100)), mixer_point_key(request("rwkv4", 101)));
  EXPECT_NE(mixer_point_key(request("rwkv4", 100)), mixer_point_key(request("rwkv4", 100, 128)));
}

TEST(BenchMixers, WhatCannotEndInTimeIsMarkedAndNotTried) {
  CostPoint before = measure_mixer(request("attention", 64), nullptr);
  before.metrics["mix_seconds"].value = 11;
  const CostPoint marked = measure_mixer(request("attention", 128), &before);
  EXPECT_EQ(marked.status, "time");
  EXPECT_TRUE(marked.metrics.empty());
  const CostPoint next = measure_mixer(request("attention", 256), &marked);
  EXPECT_EQ(next.status, "time");
  EXPECT_THAT(next.reason, HasSubstr("128 tokens were too many"));
}

// A sweep whose costs follow the given formulas.
std::vector<CostPoint> made_up(const std::string& name, double (*time)(double T, double d),
                               double (*memory)(double T)) {
  std::vector<CostPoint> points;
  for (const std::size_t width : {64, 256}) {
    for (std::size_t length = 256; length <= 16384; length *= 2) {
      CostPoint p;
      p.spec = name;
      p.width = width;
      p.length = length;
      const double t = time(static_cast<double>(length), static_cast<double>(width)),
                   m = memory(static_cast<double>(length));
      p.metrics["mix_seconds"] = {t, t * 0.995, t * 1.005, 9};
      p.metrics["memory_bytes"] = {m, m, m, 1};
      points.push_back(p);
    }
  }
  return points;
}

std::vector<std::string> row_of(const std::vector<CostPoint>& points) {
  const Table table = mixer_laws_table(points, 1);
  EXPECT_EQ(table.rows.size(), 1u);
  std::vector<std::string> texts;
  for (const Cell& cell : table.rows.at(0)) texts.push_back(cell.text);
  return texts;
}

TEST(BenchMixers, LawsStandBesideThePapers) {
  const auto agrees = row_of(made_up(
      "attention", [](double T, double d) { return 1e-9 * T * T * d; },
      [](double T) { return 4 * T * T + 100 * T; }));
  EXPECT_EQ(agrees.at(1), "O(T²d)");
  EXPECT_EQ(agrees.at(3), "agrees");
  EXPECT_EQ(agrees.at(5), "d^1.00");
  EXPECT_EQ(agrees.at(8), "agrees");
  const auto differs = row_of(made_up(
      "attention", [](double T, double d) { return 1e-9 * T * d * d; },
      [](double T) { return 100 * T + 5000; }));
  EXPECT_EQ(differs.at(3), "differs");
  EXPECT_EQ(differs.at(5), "d^2.00");
  EXPECT_EQ(differs.at(8), "differs");
  const auto constant = row_of(made_up(
      "rwkv7", [](double T, double d) { return 1e-9 * T * d; }, [](double) { return 16384.0; }));
  EXPECT_EQ(constant.at(3), "agrees");
  EXPECT_EQ(constant.at(7), "constant");
  EXPECT_EQ(constant.at(8), "agrees");
}

TEST(BenchMixers, NoiseIsNoLaw) {
  std::vector<CostPoint> points = made_up(
      "rwkv4", [](double T, double d) { return 1e-9 * T * d; }, [](double) { return 768.0; });
  CostValue& disturbed = points.back().metrics.at("mix_seconds");
  disturbed = {disturbed.value * 3, disturbed.value, disturbed.value * 4, 9};
  const auto row = row_of(points);
  EXPECT_EQ(row.at(2), "too noisy to say");
  EXPECT_EQ(row.at(3), "–");
  EXPECT_EQ(row.at(8), "agrees");
}

TEST(BenchMixers, MistakesAreNamed) {
  const Console console{CommonOptions{}};
  const auto message = [&](BenchMixersOptions options) {
    try {
      bench_mixers(options, console);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  BenchMixersOptions options;
  options.only = {"rwkv8"};
  EXPECT_THAT(message(options), HasSubstr("unknown mixer 'rwkv8'"));
  options = {};
  options.widths = "100";
  EXPECT_THAT(message(options), HasSubstr("100"));
  options = {};
  options.lengths = "9..3";
  EXPECT_THAT(message(options), HasSubstr("backwards"));
  options = {};
  options.noise = 0;
  EXPECT_THAT(message(options), HasSubstr("--noise"));
}

}  // namespace
}  // namespace deciban
