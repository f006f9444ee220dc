#include "reports/gate_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace deciban {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Outcome = GateCheck::Outcome;

const std::vector<GateCheck> kChecks{
    {"speed", "a <b> & \"c\"", Outcome::failed, "10 % slower,\nbeyond: doubt\x01"},
    {"speed", "d", Outcome::unclear, "too noisy"},
    {"models", "e", Outcome::passed, ""}};

TEST(GateReport, CountsInWords) {
  EXPECT_EQ(in_words(count(kChecks)), "1 of 3 checks failed, 1 is unclear");
  EXPECT_EQ(in_words({5, 0, 0}), "none of 5 checks failed");
  EXPECT_EQ(in_words({5, 2, 0}), "none of 7 checks failed, 2 are unclear");
}

TEST(GateReport, WritesJunit) {
  EXPECT_EQ(to_junit(kChecks, "gate"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuites name=\"gate\" tests=\"3\" failures=\"1\">\n"
            " <testsuite name=\"gate.speed\" tests=\"2\" failures=\"1\" skipped=\"1\">\n"
            "  <testcase classname=\"gate.speed\" name=\"a &lt;b> &amp; &quot;c&quot;\">\n"
            "   <failure message=\"10 % slower,&#10;beyond: doubt \" />\n"
            "  </testcase>\n"
            "  <testcase classname=\"gate.speed\" name=\"d\">\n"
            "   <skipped message=\"too noisy\" />\n"
            "  </testcase>\n"
            " </testsuite>\n"
            " <testsuite name=\"gate.models\" tests=\"1\" failures=\"0\" skipped=\"0\">\n"
            "  <testcase classname=\"gate.models\" name=\"e\" />\n"
            " </testsuite>\n"
            "</testsuites>\n");
}

TEST(GateReport, AnnotatesForGithub) {
  std::ostringstream out;
  print_github_annotations(out, kChecks, "speed: now");
  EXPECT_EQ(out.str(),
            "::error title=speed%3A now::a <b> & \"c\": 10 %25 slower,%0Abeyond: doubt\x01\n"
            "::notice title=speed%3A now::1 of 3 checks failed, 1 is unclear\n");
}

SpeedResult result(const std::string& name, SpeedVerdict verdict, double ratio) {
  SpeedResult r;
  r.name = name;
  r.verdict = verdict;
  r.before = 1e-3;
  r.after = 1e-3 * ratio;
  r.ratio = ratio;
  r.interval = Interval{ratio * 0.99, ratio * 1.01};
  r.effect = 0.05;
  return r;
}

TEST(GateReport, MakesChecksOfVerdicts) {
  const auto checks =
      checks_of({result("s", SpeedVerdict::slower, 1.2), result("u", SpeedVerdict::unclear, 1),
                 result("f", SpeedVerdict::faster, 0.5), result("e", SpeedVerdict::same, 1)});
  ASSERT_EQ(checks.size(), 4u);
  EXPECT_EQ(checks[0].outcome, Outcome::failed);
  EXPECT_THAT(checks[0].message, HasSubstr("slower: +20.0 %"));
  EXPECT_EQ(checks[1].outcome, Outcome::unclear);
  EXPECT_EQ(checks[2].outcome, Outcome::passed);
  EXPECT_EQ(checks[3].outcome, Outcome::passed);
}

TEST(GateReport, TheSlowestComeFirst) {
  const Table table =
      speed_table({result("same", SpeedVerdict::same, 1), result("slow", SpeedVerdict::slower, 1.2),
                   result("slower", SpeedVerdict::slower, 1.5), result("?", SpeedVerdict::unclear, 1)});
  ASSERT_EQ(table.rows.size(), 4u);
  EXPECT_EQ(table.rows[0][0].text, "slower");
  EXPECT_EQ(table.rows[1][0].text, "slow");
  EXPECT_EQ(table.rows[2][0].text, "?");
  for (const auto& row : table.rows) EXPECT_EQ(row.size(), table.columns.size());
}

TEST(GateReport, WritesMarkdown) {
  const std::string text =
      to_markdown(kChecks, "speed", {speed_table({result("case", SpeedVerdict::same, 1)})});
  EXPECT_THAT(text, HasSubstr("speed: 1 of 3 checks failed, 1 is unclear\n"));
  EXPECT_THAT(text, HasSubstr("- `a <b> & \"c\"`: 10 % slower"));
  EXPECT_THAT(text, HasSubstr("| case"));
  EXPECT_THAT(to_markdown({kChecks[2]}, "speed", {}), Not(HasSubstr("- `")));
}

}  // namespace
}  // namespace deciban
