#include "reports/collection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reports/board.h"
#include "reports/compare.h"
#include "tests/reports/sample_runs.h"

namespace deciban {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

Collection read(std::vector<std::filesystem::path> paths) { return read_collection(paths); }

TEST(Collection, JoinsTheSameModelOverRuns) {
  const ScratchDirectory scratch;
  SampleRun run{{{"one", 1.0}, {"two", 1.2}}};
  write_run(scratch / "runs/a", run);
  run.corpora = {"prose"};
  write_run(scratch / "runs/b", run);
  const Collection collection = read({scratch / "runs"});  // the directory above them
  EXPECT_THAT(collection.lineups, SizeIs(2));
  EXPECT_THAT(collection.lineups[0].scores, SizeIs(60));
  EXPECT_THAT(collection.documents, SizeIs(60));
  EXPECT_THAT(collection.warnings, IsEmpty());
  EXPECT_EQ(collection.lineups[0].model.parameters, 1000000u);
}

TEST(Collection, ShardsThatAreMissingOrNotDoneAreNamed) {
  const ScratchDirectory scratch;
  SampleRun run{{{"one", 1.0}}};
  write_run(scratch / "a", run);
  write_run(scratch / "b", run);
  for (const char* name : {"a", "b"}) std::filesystem::remove(scratch / name / "run.json");
  const auto part =
      [&](const char* name, const std::string& status) {
        std::ofstream(scratch / name)
            << R"({"corpora":[{"name":"wiki","digest":"d"}],"runs":[{"status":"interrupted"},)"
            << R"({"status":")" << status << "\"}]}";
      };
  part("a/run.1-of-4.json", "done");
  part("b/run.3-of-4.json", "running");
  const auto warnings = [&] { return read({scratch / "a", scratch / "b"}).warnings; };
  EXPECT_THAT(warnings(),
              Contains(HasSubstr("of 4 shards, shards 2 and 4 are not there, shard 3 is not done")));
  part("b/run.3-of-4.json", "done");
  part("b/run.4-of-4.json", "done");
  EXPECT_THAT(warnings(), Contains(HasSubstr("of 4 shards, shard 2 is not there: ")));
  part("a/run.2-of-4.json", "done");  // in whichever directory
  EXPECT_THAT(warnings(), IsEmpty());
}

TEST(Collection, TellsDisagreementOfEqualKeys) {
  const ScratchDirectory scratch;
  SampleRun run{{{"one", 1.0}}};
  write_run(scratch / "a", run);
  write_run(scratch / "b", run);
  EXPECT_THAT(read({scratch / "a", scratch / "b"}).warnings, IsEmpty());
  run.models[0].level = 1.001;  // the same keys, other scores
  write_run(scratch / "b", run);
  EXPECT_THAT(read({scratch / "a", scratch / "b"}).warnings,
              Contains(HasSubstr("should be the same differ")));
}

TEST(Collection, TextsOfOneNameAndOtherDigestsAreNeverCompared) {
  const ScratchDirectory scratch;
  SampleRun run{{{"one", 1.0}}};
  write_run(scratch / "a", run);
  run.corpus_digest = "other";
  run.models[0].name = "two";
  write_run(scratch / "b", run);
  const Collection collection = read({scratch / "a", scratch / "b"});
  EXPECT_THAT(collection.warnings, Contains(HasSubstr("hold different texts")));
  EXPECT_THAT(make_boards(collection), SizeIs(2));
  EXPECT_THROW(compare_lineups(collection, collection.lineups[0], collection.lineups[1], "bits per byte"),
               std::runtime_error);
}

TEST(Collection, OneNameForTwoModelsIsToldApart) {
  const ScratchDirectory scratch;
  SampleRun run{{{"one", 1.0}}};
  write_run(scratch / "a", run);
  run.models[0].digest = "d2";
  write_run(scratch / "b", run);
  const Collection collection = read({scratch / "a", scratch / "b"});
  ASSERT_THAT(collection.lineups, SizeIs(2));
  EXPECT_NE(collection.lineups[0].name, collection.lineups[1].name);
}

TEST(Boards, WindowsAndStartsStandApart) {
  const ScratchDirectory scratch;
  write_run(scratch / "a",
            {{{"one", 1.0}, {"two", 1.2}, {"cut", 1.1, "tokens:64"}, {"bare", 1.3, "whole", "none"}}});
  const Collection collection = read({scratch / "a"});  // boards point into it
  const std::vector<Board> boards = make_boards(collection);
  ASSERT_THAT(boards, SizeIs(3));
  EXPECT_THAT(boards[0].lineups, SizeIs(2));
  EXPECT_EQ(boards[0].lineups[0]->name, "one");
  EXPECT_EQ(boards[0].sources, (std::vector<std::string>{"code", "wiki"}));
}

TEST(Compare, PairsDocumentsAndSaysWhatDiffers) {
  const ScratchDirectory scratch;
  write_run(scratch / "a", {{{"one", 1.0}, {"two", 1.2}, {"cut", 1.1, "tokens:64", "none"}}});
  const Collection collection = read({scratch / "a"});
  const Comparison worse =
      compare_lineups(collection, collection.lineups[0], collection.lineups[1], "bits per byte");
  EXPECT_EQ(worse.overall.verdict, Verdict::worse);
  EXPECT_NEAR(worse.overall.relative.value, 0.2, 0.02);
  EXPECT_THAT(worse.sources, SizeIs(2));
  EXPECT_THAT(worse.setting_differences, IsEmpty());
  const Comparison cut =
      compare_lineups(collection, collection.lineups[0], collection.lineups[2], "bits per byte");
  EXPECT_THAT(cut.setting_differences, SizeIs(2));
}

TEST(Collection, MissingOrEmptyPathsAreErrors) {
  const ScratchDirectory scratch;
  EXPECT_THROW(read({scratch / "none"}), std::runtime_error);
  std::filesystem::create_directories(scratch / "empty");
  EXPECT_THROW(read({scratch / "empty"}), std::runtime_error);
}

}  // namespace
}  // namespace deciban
