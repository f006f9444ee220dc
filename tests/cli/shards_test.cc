// Two processes that share one evaluation, as a launcher starts them; one is killed half-way and started
// again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "reports/record.h"
#include "tests/cli/program.h"

namespace deciban {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class ShardProcesses : public ProgramTest {
 protected:
  std::vector<std::string> words(const std::string& texts, const std::string& output) const {
    return {DECIBAN_PROGRAM,    "eval",      "-m", demo_model(), "-c", texts, "-o", at(output),
            "--no-compressors", "--threads", "1"};
  }
  // What Slurm tells its index-th of two tasks.
  static std::map<std::string, std::string> task(int index) {
    return {{"SLURM_PROCID", std::to_string(index)}, {"SLURM_NTASKS", "2"}};
  }
  // Records without what runs may differ in; each may be there once.
  std::set<std::string> records(const std::string& directory) const {
    std::set<std::string> result;
    for (Record record : read_records({at(directory)})) {
      record.seconds = 0;
      EXPECT_TRUE(result.insert(to_json_line(record)).second) << record.document << " is there twice";
    }
    return result;
  }
  std::size_t lines(const std::string& name) const {
    const std::string text = read(at(name));
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }
};

TEST_F(ShardProcesses, OneKilledHalfWayAndStartedAgainIsOneRun) {
  constexpr std::size_t kDocuments = 60;
  const std::string texts = corpus(kDocuments, 500);
  Ended once = Program(words(texts, "once")).wait();
  ASSERT_EQ(once.code, 0) << once.err;
  ASSERT_EQ(records("once").size(), kDocuments);

  {
    Program first(words(texts, "run"), task(0)), second(words(texts, "run"), task(1));
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (lines("run/records.2-of-2.jsonl") < kDocuments / 6 &&
           std::chrono::steady_clock::now() < patience) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    second.signal(SIGKILL);
    ASSERT_EQ(second.wait().code, 128 + SIGKILL) << "gone before it could be killed";
    const Ended ended = first.wait();
    ASSERT_EQ(ended.code, 0) << ended.err;
  }
  const std::size_t there = records("run").size();
  EXPECT_GE(there, kDocuments / 6);
  EXPECT_LT(there, kDocuments) << "nothing was left to do";
  const Ended broken = deciban_program({"report", at("run"), "--format", "json"});
  EXPECT_THAT(broken.err, HasSubstr("of 2 shards"));
  EXPECT_THAT(broken.err, HasSubstr("2 is not done"));

  // The same command for both: the one that was through measures nothing again.
  const std::string done_before = read(at("run/records.1-of-2.jsonl"));
  Program first(words(texts, "run"), task(0)), second(words(texts, "run"), task(1));
  for (Program* program : {&first, &second}) {
    const Ended ended = program->wait();
    EXPECT_EQ(ended.code, 0) << ended.err;
  }
  EXPECT_EQ(read(at("run/records.1-of-2.jsonl")), done_before);
  EXPECT_EQ(records("run"), records("once"));

  const Ended merged = deciban_program({"report", at("run"), "--format", "json"});
  const Ended whole = deciban_program({"report", at("once"), "--format", "json"});
  ASSERT_EQ(merged.code, 0) << merged.err;
  EXPECT_THAT(merged.err, Not(HasSubstr("of 2 shards")));
  const json row = json::parse(merged.out)[0], expected = json::parse(whole.out)[0];
  EXPECT_EQ(row["documents"], expected["documents"]);
  EXPECT_EQ(row["bits_per_byte"], expected["bits_per_byte"]);
}

}  // namespace
}  // namespace deciban
