#include "evals/codec/slot_team.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace deciban {
namespace {

TEST(SlotTeam, DoesAllOnceInEveryRound) {
  for (const std::size_t threads : {1, 2, 5}) {
    SlotTeam team(threads);
    EXPECT_EQ(team.size(), threads);
    for (const std::size_t count : {0, 1, 3, 1000}) {
      std::vector<std::atomic<int>> done(count);
      std::atomic<bool> foreign{false};
      for (int round = 0; round < 20; ++round) {
        team.run(count, [&](std::size_t i, std::size_t thread) {
          ++done[i];
          if (thread >= threads) foreign = true;
        });
        for (const auto& times : done) ASSERT_EQ(times, round + 1);
      }
      EXPECT_FALSE(foreign);
    }
  }
}

TEST(SlotTeam, PassesFailuresOnAndGoesOn) {
  SlotTeam team(3);
  EXPECT_THROW(team.run(50,
                        [](std::size_t i, std::size_t) {
                          if (i % 7 == 3) throw std::runtime_error("seven");
                        }),
               std::runtime_error);
  std::atomic<int> done{0};
  team.run(50, [&](std::size_t, std::size_t) { ++done; });
  EXPECT_EQ(done, 50);
}

}  // namespace
}  // namespace deciban
