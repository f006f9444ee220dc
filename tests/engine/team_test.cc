// The thread team: every task exactly once, whatever the sizes, and jobs one after the other without rest.
#include "engine/cpu/team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace deciban::cpu {
namespace {

TEST(Team, DoesEveryTaskOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    Team team(threads);
    EXPECT_EQ(team.size(), threads);
    for (const std::size_t tasks : {0u, 1u, 2u, 7u, 1000u}) {
      std::vector<std::atomic<int>> done(tasks);
      team.run(tasks, [&](std::size_t i, int thread) {
        EXPECT_GE(thread, 0);
        EXPECT_LT(thread, threads);
        ++done[i];
      });
      for (const auto& d : done) EXPECT_EQ(d, 1);
    }
  }
}

TEST(Team, ManySmallJobsFollowEachOther) {
  Team team(4);
  std::vector<long> sums(64);
  for (int job = 0; job < 20000; ++job) {
    team.run(sums.size(), [&](std::size_t i, int) { sums[i] += static_cast<long>(i) + job; });
  }
  for (std::size_t i = 0; i < sums.size(); ++i)
    EXPECT_EQ(sums[i], 20000L * static_cast<long>(i) + 20000L * 19999 / 2);
}

TEST(Team, MoreTasksThanAJobCounts) {
  Team team(2);
  std::atomic<std::size_t> sum{0};
  const std::size_t tasks = (std::size_t{1} << 21) + 5;
  team.run(tasks, [&](std::size_t i, int) { sum += i; });
  EXPECT_EQ(sum, tasks * (tasks - 1) / 2);
}

}  // namespace
}  // namespace deciban::cpu
