#include "cli/shard_environment.h"

#include <gtest/gtest.h>

#include <map>
#include <stdexcept>
#include <string>

namespace deciban {
namespace {

std::optional<LaunchedShard> from(const std::map<std::string, std::string>& environment) {
  return shard_from_environment([&](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

TEST(ShardFromEnvironment, KnowsTheLaunchers) {
  EXPECT_EQ(from({{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "8"}})->shard.name(), "2/8");
  EXPECT_EQ(from({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "2"}})->shard.name(), "1/2");
  EXPECT_EQ(from({{"PMI_RANK", "3"}, {"PMI_SIZE", "4"}})->shard.name(), "4/4");
  EXPECT_EQ(from({{"PMI_RANK", "3"}, {"PMI_SIZE", "4"}})->from, "PMI_RANK=3 PMI_SIZE=4");
}

TEST(ShardFromEnvironment, AStepMayBePartOfAJob) {
  EXPECT_EQ(from({{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "8"}, {"SLURM_STEP_NUM_TASKS", "2"}})->shard.name(),
            "2/2");
}

TEST(ShardFromEnvironment, ArraysOfJobsCountFromTheirFirst) {
  const std::map<std::string, std::string> job{
      {"SLURM_ARRAY_TASK_ID", "3"}, {"SLURM_ARRAY_TASK_COUNT", "4"}, {"SLURM_ARRAY_TASK_MIN", "1"}};
  EXPECT_EQ(from(job)->shard.name(), "3/4");
  auto gaps = job;
  gaps["SLURM_ARRAY_TASK_ID"] = "7";  // --array=1-7:2
  EXPECT_THROW(from(gaps), std::invalid_argument);
  auto one_process = job;
  one_process["SLURM_PROCID"] = "0", one_process["SLURM_NTASKS"] = "1";
  EXPECT_EQ(from(one_process)->shard.name(), "3/4");
  auto steps = job;
  steps["SLURM_PROCID"] = "1", steps["SLURM_STEP_NUM_TASKS"] = "2";
  EXPECT_EQ(from(steps)->shard.name(), "6/8");
}

TEST(ShardFromEnvironment, OneProcessIsNoShard) {
  EXPECT_FALSE(from({}));
  EXPECT_FALSE(from({{"SLURM_PROCID", "0"}}));
  EXPECT_FALSE(from({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "1"}}));
}

TEST(ShardFromEnvironment, RefusesNonsense) {
  EXPECT_THROW(from({{"SLURM_PROCID", "8"}, {"SLURM_NTASKS", "8"}}), std::invalid_argument);
  EXPECT_THROW(from({{"SLURM_PROCID", "x"}, {"SLURM_NTASKS", "8"}}), std::invalid_argument);
  EXPECT_THROW(from({{"PMI_RANK", "0"}, {"PMI_SIZE", "0"}}), std::invalid_argument);
}

}  // namespace
}  // namespace deciban
