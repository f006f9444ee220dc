#include "reports/cost.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using ::testing::HasSubstr;

CostPoint point(const std::string& key, std::size_t length) {
  CostPoint p;
  p.key = key;
  p.model = "rwkv7-0.1b \"q\"";
  p.spec = "random:rwkv7-0.1b";
  p.family = "rwkv7";
  p.device = "cpu";
  p.format = "f32";
  p.kernels = "avx2";
  p.machine = "a CPU";
  p.threads = 2;
  p.parameters = 191;
  p.length = length;
  p.unmet = {"noise 4.1 % > 3 %"};
  p.metrics["step_seconds"] = {0.5, 0.4, 0.75, 31};
  p.metrics["weights_bytes"] = {1e9, 1e9, 1e9, 1};
  p.measured = "2026-11-23T00:00:00Z";
  return p;
}

TEST(Cost, ALineGivesThePointBack) {
  const CostPoint p = point("k", 512);
  EXPECT_EQ(cost_from_json(to_json_line(p)), p);
}

TEST(Cost, NamesWhatIsWrong) {
  const auto why = [](const std::string& line) {
    try {
      cost_from_json(line);
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(why("{"), "not JSON");
  EXPECT_EQ(why("[]"), "not a JSON object");
  EXPECT_THAT(why("{}"), HasSubstr("without \"key\""));
  EXPECT_THAT(why(R"({"key":"a","model":"m","spec":"s","device":"cpu","threads":"two"})"),
              HasSubstr("whose \"threads\" is \"two\""));
}

TEST(CostFile, GoesOnWhereItWas) {
  const ScratchDirectory directory;
  {
    CostFile file(directory.path());
    file.append(point("a", 1));
    CostPoint failed = point("b", 2);
    failed.status = "failed";
    file.append(failed);
    CostPoint limit = point("c", 3);
    limit.status = "limit";
    file.append(limit);
    EXPECT_THROW(CostFile{directory.path()}, std::runtime_error);  // another writer
  }
  std::ofstream(directory.path() / "costs.jsonl", std::ios::app) << R"({"key":"d","mod)";  // killed here
  {
    CostFile file(directory.path());
    ASSERT_EQ(file.points().size(), 3u);
    EXPECT_NE(file.find("a"), nullptr);
    EXPECT_EQ(file.find("b"), nullptr);  // tried again
    EXPECT_NE(file.find("c"), nullptr);
    EXPECT_EQ(file.find("d"), nullptr);
    file.append(point("b", 2));
    EXPECT_NE(file.find("b"), nullptr);
  }
  const std::vector<CostPoint> all = read_costs({directory.path()});
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[1].status, "ok");
}

TEST(CostFile, RefusesAnotherDamage) {
  const ScratchDirectory directory;
  std::ofstream(directory.path() / "costs.jsonl") << "{torn\n" << to_json_line(point("a", 1)) << "\n";
  try {
    read_costs({directory.path()});
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("costs.jsonl:1: not JSON; delete the line"));
  }
}

}  // namespace
}  // namespace deciban
