#include "reports/gate_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "reports/report.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

GateRun divergence(const std::string& when, double kl) {
  GateRun run;
  run.kind = "divergence";
  run.when = when;
  run.base = {"base", "", "d1", "f32", "cpu"};
  run.other = {"base", "", "d1", "int8", "cpu"};
  run.texts = {{"dev", "c1", 12}};
  run.windowing = "whole";
  run.start = "bos";
  run.figures = {{"kl_nats", {kl, kl / 2, 2 * kl, 1234}}, {"same_best_percent", {99.5, 99.5, 99.5, 1234}}};
  return run;
}

TEST(GateHistory, ReadsBackWhatWasKept) {
  const ScratchDirectory scratch;
  GateRun failed = divergence("2026-11-22T00:00:00Z", 0.25);
  failed.counts = {1, 2, 1};
  failed.failed = {{"divergence", "KL mean \xff", GateCheck::Outcome::failed, "too \"far\"\n"}};
  append_gate(scratch / "run", divergence("2026-11-23T00:00:00Z", 0.5));
  append_gate(scratch / "run", failed);
  const std::vector<std::filesystem::path> paths{scratch / "run", scratch / "none"};
  const std::vector<GateRun> runs = read_gates(paths);
  ASSERT_THAT(runs, SizeIs(2));  // by time
  EXPECT_EQ(runs[0].base, failed.base);
  EXPECT_EQ(runs[0].texts, failed.texts);
  EXPECT_EQ(runs[0].figures, failed.figures);
  EXPECT_EQ(runs[0].counts.unclear, 2u);
  ASSERT_THAT(runs[0].failed, SizeIs(1));
  EXPECT_EQ(runs[0].failed[0].name, "KL mean \xEF\xBF\xBD");
  EXPECT_EQ(runs[0].failed[0].message, "too \"far\"\n");
  EXPECT_EQ(divergence_between(runs, failed.base, failed.other)->figures.at("kl_nats").value, 0.5);
  EXPECT_EQ(divergence_between(runs, failed.other, failed.base), nullptr);
}

TEST(GateHistory, GatesMayEndTogetherAndBeTorn) {
  const ScratchDirectory scratch;
  {
    std::vector<std::jthread> team;
    for (int i = 0; i < 8; ++i)
      team.emplace_back([&, i] { append_gate(scratch / "run", divergence(std::to_string(i), 1)); });
  }
  const std::vector<std::filesystem::path> paths{scratch / "run"};
  EXPECT_THAT(read_gates(paths), SizeIs(8));
  std::ofstream(scratch / "run/gates.jsonl", std::ios::app) << R"({"kind":"spe)";
  EXPECT_THAT(read_gates(paths), SizeIs(8));
  append_gate(scratch / "run", divergence("9", 1));
  EXPECT_THAT(read_gates(paths), SizeIs(9));
}

TEST(GateHistory, DamagedLinesAreNamed) {
  const ScratchDirectory scratch;
  scratch.write("run/gates.jsonl", R"({"kind":"speed","when":"t"})"
                                   "\n"
                                   R"({"kind":3,"when":"t"})"
                                   "\n");
  const std::vector<std::filesystem::path> paths{scratch / "run"};
  const std::string message = message_of([&] { (void)read_gates(paths); });
  EXPECT_THAT(message, HasSubstr("gates.jsonl"));
  EXPECT_THAT(message, HasSubstr("2"));
  EXPECT_THAT(message, HasSubstr("\"kind\" is 3"));
  for (const char* line :
       {"[]", "{}", R"({"kind":"x","when":"t","base":1})", R"({"kind":"x","when":"t","texts":{}})",
        R"({"kind":"x","when":"t","figures":{"a":1}})", R"({"kind":"x","when":"t","failed":"y"})"})
    EXPECT_ANY_THROW((void)gate_run_from_json(line)) << line;
}

TEST(GateHistory, MedianAndRangeOfAGateOfSpeed) {
  std::vector<SpeedResult> results(3);
  results[0].ratio = 1.1;
  results[1].ratio = 0.98;
  results[2].ratio = 1.02;
  const CostValue change = speed_figures(results).at("change_percent");
  EXPECT_NEAR(change.value, 2, 1e-12);
  EXPECT_NEAR(change.low, -2, 1e-12);
  EXPECT_NEAR(change.high, 10, 1e-12);
  EXPECT_THAT(speed_figures({}), IsEmpty());
}

TEST(GateHistory, IsASectionOfTheReport) {
  const ScratchDirectory scratch;
  GateRun speed;
  speed.kind = "speed";
  speed.when = "2026-11-23T10:20:30Z";
  speed.base = {"old/deciban", "aaaa111"};
  speed.other = {"new/deciban", "bbbb222"};
  speed.counts = {34, 1, 1};
  speed.failed = {{"speed", "linear <b>", GateCheck::Outcome::failed, "slower: +10.0 %"}};
  speed.figures = {{"change_percent", {0.5, -1, 10, 36}}};
  append_gate(scratch / "run", speed);
  append_gate(scratch / "run", divergence("2026-11-23T11:00:00Z", 0.00125));
  const std::string page = report_page(read_collection(std::vector{scratch / "run"}), {});
  EXPECT_THAT(page, HasSubstr("id=\"gates\""));
  EXPECT_THAT(page, HasSubstr("2026-11-23 10:20"));
  EXPECT_THAT(page, HasSubstr("bbbb222"));
  EXPECT_THAT(page, HasSubstr("slower: +10.0 %"));
  EXPECT_THAT(page, HasSubstr("linear &lt;b&gt;"));
  EXPECT_THAT(page, HasSubstr("0.00125"));
  EXPECT_THAT(page, Not(HasSubstr("id=\"leaderboard\"")));
  EXPECT_THAT(page, HasSubstr("<h1>Gates</h1>"));
}

}  // namespace
}  // namespace deciban
