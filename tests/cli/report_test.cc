// deciban report as a user would run it.
#include "cli/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/cli/program.h"
#include "tests/reports/sample_runs.h"

namespace deciban {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class ReportProgram : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    write_run(at("runs/a"), {{{"one", 1.0}, {"two", 1.2}}});
  }
};

TEST_F(ReportProgram, WritesAPageAndSaysSo) {
  const Ended ended = deciban_program({"report", at("runs"), "-o", at("page.html"), "--title", "November"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, IsEmpty());
  EXPECT_THAT(ended.err, HasSubstr("page.html"));
  const std::string page = read(at("page.html"));
  EXPECT_THAT(page, StartsWith("<!DOCTYPE html>"));
  EXPECT_THAT(page, HasSubstr("November"));
  EXPECT_FALSE(std::filesystem::exists(at("page.html.new")));
}

TEST_F(ReportProgram, PrintsATableInEveryFormat) {
  const auto printed = [&](const std::string& format) {
    const Ended ended = deciban_program({"report", at("runs/a"), "--format", format});
    EXPECT_EQ(ended.code, 0) << ended.err;
    return ended.out;
  };
  EXPECT_THAT(printed("md"), HasSubstr("| one"));
  const auto rows = nlohmann::json::parse(printed("json"));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["model"], "one");
  EXPECT_EQ(rows[0]["documents"], 40);
  EXPECT_LT(rows[0]["bits_per_byte"].get<double>(), rows[1]["bits_per_byte"].get<double>());
  EXPECT_EQ(rows[1]["rank"], 2);
  std::istringstream lines(printed("jsonl"));
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count)
    EXPECT_EQ(nlohmann::json::parse(line), rows[count]);
  EXPECT_EQ(count, 2u);
  const std::string csv = printed("csv");
  EXPECT_THAT(csv, HasSubstr("bits_per_byte"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 3);
}

TEST_F(ReportProgram, OtherTablesAndExports) {
  const Ended sources = deciban_program({"report", at("runs/a"), "--table", "sources", "--format", "csv"});
  EXPECT_EQ(sources.code, 0);
  EXPECT_THAT(sources.out, HasSubstr("wiki"));
  EXPECT_EQ(deciban_program({"report", at("runs/a"), "--export", at("board.md")}).code, 0);
  EXPECT_THAT(read(at("board.md")), HasSubstr("| one"));
  const Ended tasks = deciban_program({"report", at("runs/a"), "--table", "tasks"});
  EXPECT_EQ(tasks.code, 1);
  EXPECT_THAT(tasks.err, HasSubstr("nothing for a table of tasks"));
}

TEST_F(ReportProgram, MistakesAreExplained) {
  const struct {
    std::vector<std::string> words;
    std::string says;
    int code;
  } mistakes[] = {
      {{"report"}, "name their directories", 2},
      {{"report", at("runs/missing")}, "does not exist", 1},
      {{"report", at("runs/a"), "--table", "source"}, "did you mean 'sources'", 2},
      {{"report", at("runs/a"), "--formt", "md"}, "--format", 2},
      {{"report", at("runs/a"), "-o", at("page.pdf")}, ".html", 2},
      {{"report", at("runs/a"), "-o", at("no/such/folder/page.html")}, "cannot write", 1},
      {{"report", at("runs/a"), "-o", at("p.html"), "--published", "rwkv-wiki-1.5"}, "rwkv-wiki-1.5b", 2}};
  for (const auto& mistake : mistakes) {
    const Ended ended = deciban_program(mistake.words);
    EXPECT_EQ(ended.code, mistake.code) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr(mistake.says));
    EXPECT_THAT(ended.out, IsEmpty());
  }
  std::filesystem::create_directories(at("empty"));
  EXPECT_THAT(deciban_program({"report", at("empty")}).err, HasSubstr("is no run"));
}

TEST_F(ReportProgram, ListsWhatIsPublished) {
  const Ended ended = deciban_program({"report", "--list-published", "--format", "json"});
  EXPECT_EQ(ended.code, 0);
  EXPECT_GE(nlohmann::json::parse(ended.out).size(), 10u);
}

TEST_F(ReportProgram, CorporaOfOtherRunsAreSaidToBe) {
  const Ended ended = deciban_program({"report", at("runs/a"), "-c", corpus(3), "-o", at("page.html")});
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(ended.err, HasSubstr("is the text of none of these runs"));
}

}  // namespace
}  // namespace deciban
