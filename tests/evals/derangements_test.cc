#include "evals/derangements.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace deciban {
namespace {

std::vector<DerangedItem> items(const std::map<std::string, std::size_t>& counts) {
  std::vector<DerangedItem> result;
  for (const auto& [category, count] : counts) {
    for (std::size_t i = 0; i < count; ++i) result.push_back({category, 100 + 37 * i % 1000});
  }
  return result;
}

// Each derangement is a permutation without fixed point.
void expect_derangements(const Derangements& drawn, std::size_t n, std::size_t count) {
  ASSERT_EQ(drawn.others.size(), n);
  for (std::size_t k = 0; k < count; ++k) {
    std::set<std::size_t> taken;
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(drawn.others[i].size(), count);
      EXPECT_NE(drawn.others[i][k], i);
      taken.insert(drawn.others[i][k]);
    }
    EXPECT_EQ(taken.size(), n);
  }
}

TEST(Derangements, StayWithinTheCategoryWhereItIsLargeEnough) {
  const auto all =
      items({{"cs.CL", 20}, {"cs.LG", 3}, {"cs.CV", 4}, {"hep-ph", 2}, {"quant-ph", 5}, {"q-fin.GN", 6}});
  const Derangements drawn = derange(all, 20, 1);
  expect_derangements(drawn, all.size(), 20);
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (const std::size_t other : drawn.others[i]) {
      const std::string &own = all[i].category, &its = all[other].category;
      if (own == "cs.CL" || own == "q-fin.GN") {
        EXPECT_EQ(its, own);
        EXPECT_EQ(drawn.level[i], PoolLevel::category);
      } else if (own.starts_with("cs.")) {
        EXPECT_TRUE(its == "cs.LG" || its == "cs.CV");
        EXPECT_EQ(drawn.level[i], PoolLevel::archive);
      } else {
        EXPECT_TRUE(its == "hep-ph" || its == "quant-ph");
        EXPECT_EQ(drawn.level[i], PoolLevel::group);
      }
    }
  }
}

TEST(Derangements, AreMatchedInLength) {
  std::vector<DerangedItem> all;
  for (std::size_t i = 0; i < 80; ++i) all.push_back({"cs.CL", i * 10});
  const Derangements drawn = derange(all, 20, 3);
  expect_derangements(drawn, 80, 20);
  for (std::size_t i = 0; i < 80; ++i) {
    for (const std::size_t other : drawn.others[i])
      EXPECT_LT(std::max(i, other) - std::min(i, other), kBlock) << "not of the same block";
  }
}

TEST(Derangements, DependOnTheSeedAlone) {
  const auto all = items({{"cs.CL", 20}, {"math.AG", 9}});
  EXPECT_EQ(derange(all, 20, 7).others, derange(all, 20, 7).others);
  EXPECT_NE(derange(all, 20, 7).others, derange(all, 20, 8).others);
}

// Every other member of a block comes about equally often.
TEST(Derangements, AreUniform) {
  const auto all = items({{"cs.CL", 6}});
  std::map<std::size_t, int> seen;
  const Derangements drawn = derange(all, 5000, 1);
  for (const std::size_t other : drawn.others[0]) ++seen[other];
  EXPECT_EQ(seen.size(), 5u);
  for (const auto& [other, count] : seen) EXPECT_NEAR(count, 1000, 120);
}

TEST(Derangements, FewItems) {
  expect_derangements(derange(items({{"cs.CL", 2}}), 20, 1), 2, 20);
  expect_derangements(derange(items({{"cs.CL", 1}, {"math.AG", 1}, {"", 1}}), 20, 1), 3, 20);
  // One of a kind joins the others rather than be left without a partner.
  expect_derangements(derange(items({{"cs.CL", 8}, {"math.AG", 1}}), 20, 1), 9, 20);
  EXPECT_THROW(derange(items({{"cs.CL", 1}}), 20, 1), std::invalid_argument);
}

}  // namespace
}  // namespace deciban
