// deciban compare as CI would run it.
#include "cli/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"
#include "tests/reports/sample_runs.h"

namespace deciban {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class CompareProgram : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    write_run(at("old"), {{{"m", 1.0}}});
    SampleRun worse{{{"m", 1.1, "whole", "0", "d2"}}};
    worse.seed = 2;
    write_run(at("new"), worse);
  }
  Ended compared(std::vector<std::string> words) const {
    words.insert(words.begin(), "compare");
    return deciban_program(words);
  }
};

TEST_F(CompareProgram, TellsAVerdictInEveryFormat) {
  const Ended table = compared({at("old"), at("new")});
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("worse"));
  EXPECT_THAT(table.out, HasSubstr("decibans per"));
  const auto rows = nlohmann::json::parse(compared({at("old"), at("new"), "--format", "json"}).out);
  ASSERT_EQ(rows.size(), 3u);  // all, and two sources
  EXPECT_EQ(rows[0]["verdict"], "worse");
  EXPECT_NEAR(rows[0]["difference_percent"].get<double>(), 10, 1.5);
  EXPECT_TRUE(rows[0]["kl_nats"].is_null());
  EXPECT_THAT(compared({at("old"), at("new"), "--format", "md"}).out, HasSubstr("| "));
  EXPECT_THAT(compared({at("old"), at("new"), "--format", "csv"}).out, HasSubstr("difference_percent"));
  const std::string lines = compared({at("old"), at("new"), "--format", "jsonl"}).out;
  EXPECT_EQ(nlohmann::json::parse(lines.substr(0, lines.find('\n'))), rows[0]);
}

TEST_F(CompareProgram, FailIfSetsTheExitCode) {
  const Ended worse = compared({at("old"), at("new"), "--fail-if", "worse"});
  EXPECT_EQ(worse.code, 4);
  EXPECT_THAT(worse.err, HasSubstr("--fail-if worse"));
  EXPECT_EQ(compared({at("new"), at("old"), "--fail-if", "worse"}).code, 0);
  EXPECT_EQ(compared({at("new"), at("old"), "--fail-if", "different"}).code, 4);
  write_run(at("twin"), {{{"twin", 1.0}}});
  EXPECT_EQ(compared({at("old"), at("twin"), "--same-within", "20%", "--fail-if", "different"}).code, 0);
  EXPECT_EQ(compared({at("old"), at("twin"), "--same-within", "0", "--fail-if", "unclear"}).code, 4);
}

TEST_F(CompareProgram, OtherWindowsAndStartsAreRefused) {
  write_run(at("cut"), {{{"m", 1.0, "tokens:64", "0", "d3"}}});
  const Ended refused = compared({at("old"), at("cut")});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("--across"));
  EXPECT_THAT(refused.out, IsEmpty());
  const Ended across = compared({at("old"), at("cut"), "--across"});
  EXPECT_EQ(across.code, 0) << across.err;
  EXPECT_THAT(across.err, HasSubstr("windows differ"));
  SampleRun other{{{"m", 1.0, "whole", "0", "d4"}}};
  other.corpus_digest = "other";
  write_run(at("texts"), other);
  EXPECT_THAT(compared({at("old"), at("texts")}).err, HasSubstr("no document"));
}

// Of two models with one vocabulary: exact where a gate kept it, else how to have it.
TEST_F(CompareProgram, ShowsTheDivergenceThatAGateKept) {
  EXPECT_THAT(compared({at("old"), at("new")}).out, HasSubstr("deciban gate kl"));
  const auto gate = [](const char* other, double kl) {
    return fmt::format(
        R"({{"kind":"divergence","when":"2026-11-23T10:00:00Z","base":{{"name":"m","digest":"d1","mode":"f32"}},)"
        R"("other":{{"name":"m","digest":"{}","mode":"f32"}},"texts":[{{"name":"wiki","digest":"c4","documents":20}},)"
        R"({{"name":"code","digest":"c4","documents":20}}],"windowing":"whole","figures":{{)"
        R"("kl_nats":{{"value":{},"low":0.01,"high":0.03,"samples":5000}},)"
        R"("same_best_percent":{{"value":97.5,"low":97.5,"high":97.5,"samples":5000}}}}}})",
        other, kl);
  };
  write("new/gates.jsonl", gate("else", 0.5) + "\n" + gate("d2", 0.02) + "\n");
  const Ended ended = compared({at("old"), at("new"), "--export", at("v.json")});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("0.02 nats a token (95 %: 0.01 … 0.03); 97.50 % of"));
  EXPECT_THAT(ended.out, Not(HasSubstr("over wiki")));  // the very texts of the comparison
  const auto row = nlohmann::json::parse(read(at("v.json")))[0];
  EXPECT_EQ(row["kl_nats"], 0.02);
  EXPECT_EQ(row["kl_is"], "exact");
  // The other direction is another question.
  EXPECT_THAT(compared({at("new"), at("old")}).out, Not(HasSubstr("0.02 nats")));
}

TEST_F(CompareProgram, MistakesAreExplained) {
  const struct {
    std::vector<std::string> words;
    std::string says;
    int code;
  } mistakes[] = {{{at("old")}, "1 given", 2},
                  {{at("old"), at("missing")}, "does not exist", 1},
                  {{at("old"), at("new") + ":n"}, "has no model 'n'", 2},
                  {{at("old"), at("new"), "--fail-if", "wors"}, "did you mean 'worse'", 2},
                  {{at("old"), at("new"), "--same-within", "half"}, "is no share", 2},
                  {{at("old"), at("new"), "--acros"}, "--across", 2},
                  {{at("old"), at("new"), "--task", "lambada"}, "lambada", 1}};
  for (const auto& mistake : mistakes) {
    const Ended ended = compared(mistake.words);
    EXPECT_EQ(ended.code, mistake.code) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr(mistake.says));
    EXPECT_THAT(ended.out, IsEmpty());
  }
}

}  // namespace
}  // namespace deciban
