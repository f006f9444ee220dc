// Tasks, cut-offs and months at the command line, on the embedded model.
#include "cli/eval_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/training_cutoff.h"
#include "tests/cli/program.h"

namespace deciban {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class EvalReport : public ProgramTest {
 protected:
  // Papers of two months, ten in each, with what the tasks need.
  std::string papers() const {
    std::string lines;
    for (int i = 0; i < 20; ++i) {
      const std::string topic = "paper " + std::to_string(i) + " is about " + std::to_string(i * i) + ". ";
      std::string abstract, conclusion;
      while (abstract.size() < 120) abstract += topic;
      while (conclusion.size() < 220) conclusion += topic;
      lines += json{{"id", i},
                    {"published", i < 10 ? "2024-06-01" : "2025-02-03"},
                    {"abstract", abstract},
                    {"conclusion", conclusion},
                    {"primary_category", "cs.CL"}}
                   .dump() +
               "\n";
    }
    write("papers.jsonl", lines);
    return at("papers.jsonl");
  }
  Ended eval(std::vector<std::string> more) const {
    std::vector<std::string> words{"eval", "-m", demo_model(), "-c", papers(), "-o", at("run")};
    words.insert(words.end(), more.begin(), more.end());
    return deciban_program(words, {});
  }
};

TEST_F(EvalReport, AbstractConclusionHasItsTable) {
  const Ended ended = eval({"-t", "abstract-conclusion", "--cutoff", "none"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  for (const char* word : {"own", "other", "nothing", "other − own", "95 %", " … ", "rwkv7", "20 documents"})
    EXPECT_THAT(ended.out, HasSubstr(word));
  EXPECT_THAT(ended.out, Not(HasSubstr("xz")));
  const json run = json::parse(read(at("run/run.json")));
  EXPECT_THAT(run["tasks"]["abstract-conclusion"]["measures"]["bits_given_other"].get<std::string>(),
              HasSubstr("20 seeded derangements"));
}

TEST_F(EvalReport, OldAndNewTextsAreNeverMixed) {
  const Ended ended = eval({"--cutoff", "2024-12", "--format", "json"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  std::vector<std::string> corpora;
  for (const json& row : json::parse(ended.out)) {
    if (row["model"] == "rwkv7") corpora.push_back(row["corpus"]);
    EXPECT_EQ(row["documents"], 10);
  }
  EXPECT_THAT(corpora, ElementsAre("papers (after 2024-12)", "papers (until 2024-12)"));
  EXPECT_THAT(eval({"--cutoff", "2023-12"}).out, HasSubstr("all texts are newer than"));
  EXPECT_THAT(eval({"--cutoff", "2025-12"}).out, HasSubstr("they may have read all of them"));
  const Ended months = eval({"--by", "month", "--format", "json", "--no-compressors"});
  corpora.clear();
  for (const json& row : json::parse(months.out)) corpora.push_back(row["corpus"]);
  EXPECT_THAT(corpora, ElementsAre("papers (2025-02)", "papers (2024-06)"));
}

TEST_F(EvalReport, SeveralTasksAtOnce) {
  const Ended ended = eval({"-t", "compression,abstract-conclusion", "--cutoff", "none", "--no-compressors"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("task compression"));
  EXPECT_THAT(ended.out, HasSubstr("task abstract-conclusion"));
  const Ended csv = eval({"-t", "compression,abstract-conclusion", "--format", "csv"});
  EXPECT_EQ(csv.code, 2);
  EXPECT_THAT(csv.err, HasSubstr("several tasks make several tables"));
}

TEST_F(EvalReport, UncheatableCutsAndLeavesOut) {
  const Ended ended =
      eval({"-t", "uncheatable", "--characters", "350:360", "--cutoff", "none", "--format", "json"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  const json row = json::parse(ended.out)[0];
  EXPECT_LE(row["bytes"].get<int>(), 360 * row["documents"].get<int>());
  EXPECT_THAT(eval({"-t", "uncheatable"}).err, HasSubstr("20 documents left out"));
}

TEST_F(EvalReport, WordsThatMakeNoSense) {
  for (const auto& [words, message] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"-t", "abstract-conclusions"}, "did you mean 'abstract-conclusion'"},
           {{"--cutoff", "soon"}, "cut-off 'soon'"},
           {{"--characters", "5"}, "--characters '5'"},
           {{"--by", "year"}, "--by 'year'"}}) {
    const Ended ended = eval(words);
    EXPECT_EQ(ended.code, 2);
    EXPECT_THAT(ended.err, HasSubstr(message));
  }
}

TEST_F(EvalReport, AModelsOwnFileKnowsItsCutoff) {
  write("model/config.json", R"({"training_cutoff": "2025-03"})");
  write("model/model.pth", "");
  EXPECT_EQ(training_cutoff(at("model/model.pth"), "x")->date, "2025-03");
  EXPECT_EQ(training_cutoff(at("model"), "x")->basis, "config.json");
  write("bad/config.json", R"({"training_cutoff": "lately"})");
  EXPECT_THROW(training_cutoff(at("bad"), "x"), std::runtime_error);
  EXPECT_EQ(training_cutoff("nowhere.pth", "pythia-160m")->date, "2020-12");
  EXPECT_FALSE(training_cutoff("nowhere.pth", "mine"));
}

}  // namespace
}  // namespace deciban
